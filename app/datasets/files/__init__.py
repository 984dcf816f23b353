"""An uploaded file: its kind, the rows of a JSON file, and errors. Nothing here stores a dataset or reads a table."""
