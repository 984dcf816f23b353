"""The names of the HTTP calls and Celery tasks between server and workers, and the error codes. No message body belongs here."""
