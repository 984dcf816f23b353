"""Tests with OpenAI's own clients against a running service."""
