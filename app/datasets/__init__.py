"""Uploaded datasets: checking, storing and listing them."""
