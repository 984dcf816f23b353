"""Job events: their rows, and their messages in English and Chinese. Events report changes but do not cause them."""
