"""The row formats of dataset files, one module each. Nothing here decides which format a row has."""
