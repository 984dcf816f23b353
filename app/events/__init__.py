"""Events of jobs: their rows, and their texts in English and Chinese. An event only reports a change; it makes none."""
