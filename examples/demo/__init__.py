"""The demo behind ./script/demo: its texts, its base model, and the run that ends with the report."""
