"""What a command shows: a live job, the table of jobs, a comparison, progress bars. Nothing here defines a command or an option."""
