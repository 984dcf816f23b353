"""Errands: their requests, tasks, results and failure reasons. Nothing here runs an errand, and no message about an attempt belongs here."""
