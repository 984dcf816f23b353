"""The commands, each in the module that `main.py` names. A module must not be imported before its command runs."""
