"""Sample data, clients of the HTTP API, and the demo. Code here is meant to be copied. No part of the service imports it."""
