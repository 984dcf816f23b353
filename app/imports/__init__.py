"""Imports: datasets that a worker downloads from the hub and sends to the server. The server itself never contacts the hub."""
