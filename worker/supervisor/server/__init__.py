"""Sends the supervisor's HTTP requests to the server and reads the responses. Makes no decisions about attempts."""
