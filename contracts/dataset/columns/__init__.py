"""The columns of a row: the format they indicate, other names for them, and the mapping that a user chooses. Nothing here parses a conversation."""
