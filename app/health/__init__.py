"""Health of running jobs: judges runs when workers report, and stores findings. The rules are in contracts/verdicts/; the server's own health is in ops/."""
