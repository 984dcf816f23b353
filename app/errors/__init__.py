"""API errors: codes, messages in English and Chinese, and JSON. Contains no routes."""
