"""What a finished run says about itself: summary, choices, FLOPs. Nothing here changes the run."""
