"""The supervisor's HTTP requests to the server, and how to read the responses. No decisions about attempts here."""
