"""Workers: their devices, models and versions, and when they were last seen."""
