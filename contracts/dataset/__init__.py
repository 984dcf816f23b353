"""Dataset files: their forms of rows, the errors in them, and facts about the rows. Nothing here reads a file or a tokenizer."""
