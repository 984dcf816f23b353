"""Job events: their rows, and their messages in English and Chinese. An event only reports a change; it does not cause one."""
