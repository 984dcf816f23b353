"""Errors of the API: their codes, their texts in English and Chinese, and their JSON. Contains no routes."""
