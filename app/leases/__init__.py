"""The lease of a running attempt: its token, its times, and the one UPDATE that renews it. `attempts` handles reports."""
