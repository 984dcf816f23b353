"""The `stepline` command. It starts each part in a separate process and imports neither the server nor the worker."""
