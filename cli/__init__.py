"""The `stepline` command: starts each part in its own process. Imports neither the server nor the worker."""
