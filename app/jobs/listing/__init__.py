"""Job lists: index walks that find the jobs matching a filter, and cursors. Read-only."""
