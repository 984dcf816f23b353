"""The Python client: requests, responses and errors of the HTTP API. It prints nothing and reads no settings."""
