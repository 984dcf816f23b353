"""Errors of the API: their codes, their texts in English and Chinese, and their JSON. It knows no route."""
