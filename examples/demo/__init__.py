"""The demo behind ./script/demo: its texts, its base model, and its run from start to report."""
