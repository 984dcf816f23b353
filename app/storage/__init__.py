"""Files of the data directory: receiving, storing and sending them. The feature packages know the owner of each file."""
