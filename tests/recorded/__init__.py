"""Runs of the training program on real rows, recorded once: every loss, gradient norm and duration, and every evaluation."""
