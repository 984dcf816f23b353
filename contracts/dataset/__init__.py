"""Dataset files: row formats, errors in rows, and facts about the rows. Nothing here reads a file or uses a tokenizer."""
