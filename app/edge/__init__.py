"""What every request passes before its route: connections and their limits, allowed hosts and origins, request ids. Nothing about jobs."""
