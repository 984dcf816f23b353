"""Job lists: which index walks find the jobs that match a filter, and the cursor to the next page. Nothing here writes."""
