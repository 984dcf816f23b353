"""Dataset files: row formats, row errors, and facts about the rows. Nothing here reads a file or uses a tokenizer."""
