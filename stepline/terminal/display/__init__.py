"""How values, tables, curves and paragraphs appear in a terminal. Nothing here reads an option or calls the server."""
