"""What only the worker and its training program share: run directory, plan, exit codes. No message to the server belongs here."""
