"""The demo behind ./script/demo: its messages, its base model, and its run from start to report. Nothing here is part of the service."""
