"""What the supervisor says to the server over HTTP, and what each answer means. Nothing here decides about an attempt."""
