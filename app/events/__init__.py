"""Events of jobs: their rows, and their texts in English and Chinese. What an event changes is decided by those who insert it."""
