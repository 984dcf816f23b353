"""The Python client: requests, responses and errors of the HTTP API. It never prints and reads no settings."""
