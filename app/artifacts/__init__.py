"""Files that an attempt uploaded and a user may download."""
