"""The colors of statuses and messages. `NO_COLOR` and `TERM=dumb` switch colors off."""

STATUS_COLORS = {
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "paused": "yellow",
}
LEVEL_COLORS = {"error": "red", "warning": "yellow"}
"""By the level of an event."""
