"""Checks of OpenAI's Python client that run under several of its versions. They import only the standard library and `openai`."""
