"""The commands, each in the module listed in `main.py`. A module must not be imported before its command runs."""
