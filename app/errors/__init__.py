"""Errors of the API: their codes, their messages in English and Chinese, and their JSON. Contains no routes."""
