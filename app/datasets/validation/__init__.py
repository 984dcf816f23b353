"""Checks large files after the response, each in a child process; nothing here reads a row in the server's process.

`service` and `store` manage the pending checks, `runner` runs them in threads of the server, `process` starts a child, and
`__main__`, `child` and `request` make up that child.
"""
