"""Job lists: index walks that find the jobs matching a filter, the conditions that no index covers, and cursors. Read-only."""
