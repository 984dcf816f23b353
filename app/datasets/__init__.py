"""Checks, stores and lists uploaded datasets. Nothing here tokenizes rows or contacts the hub; OpenAI's file objects are in files/."""
