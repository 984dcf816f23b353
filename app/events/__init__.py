"""Job events: their rows, and their messages in English and Chinese. Events report changes; they never cause them."""
