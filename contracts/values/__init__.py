"""Plain values: text, nesting, sizes, paths of modules. Nothing here knows a message."""
