"""Files of the data directory: receiving, storing and sending them. Which file belongs to what is known by the features."""
