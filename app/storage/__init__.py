"""Files in the data directory: receives, stores and sends them. The feature packages know which row each file belongs to."""
