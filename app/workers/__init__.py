"""Who has said hello, and who is still there."""
