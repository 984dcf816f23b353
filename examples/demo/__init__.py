"""The demo behind ./script/demo: its texts, its base model, and the run from nothing to the report."""
