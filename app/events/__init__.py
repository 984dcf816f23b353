"""Job events: their rows, and their texts in English and Chinese. An event only reports a change; it does not cause one."""
