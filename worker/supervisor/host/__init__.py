"""The machine that this worker runs on: device, device lock, names, models on disk, clock, load.

Nothing here knows of an attempt or talks to the server.
"""
