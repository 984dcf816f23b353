"""What a job left behind while it ran: loss curve, events, logs."""
