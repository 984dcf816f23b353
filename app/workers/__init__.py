"""Workers: their devices, models and versions, and when each was last seen."""
