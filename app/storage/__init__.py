"""Files in the data directory: receives, stores and sends them. The feature packages manage their rows."""
