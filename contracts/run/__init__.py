"""A run: its directory, the counts of its rows and evaluations, and why its processes end. No message to the server belongs here."""
