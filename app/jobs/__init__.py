"""The public room of jobs: submit, list, get, cancel."""
