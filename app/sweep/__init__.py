"""What one server does every few seconds: expired leases, due retries, rings, and files that nothing refers to."""
