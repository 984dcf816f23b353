"""Sample data, clients of the HTTP API, and the demo."""
