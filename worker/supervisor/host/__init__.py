"""This worker's host: device, device lock, names, models on disk, clock, load.

Nothing here handles attempts or talks to the server.
"""
