"""Reviews the rows of a stored dataset without a tokenizer: warnings and statistics. Nothing here rejects a file or changes a row."""
