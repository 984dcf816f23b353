"""Turns rows into samples: encodes them, joins documents, in this process or in helpers. Nothing here reads or selects rows."""
