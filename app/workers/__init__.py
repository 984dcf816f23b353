"""Workers: who they are, what they have, and when they were last seen."""
