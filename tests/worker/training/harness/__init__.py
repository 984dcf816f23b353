"""Run directories, forked runs, and an independent computation of the losses for the tests of training. No tests are here."""
