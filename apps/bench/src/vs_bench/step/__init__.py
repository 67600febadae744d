"""One training step, measured: how long it takes, where its time goes, and how revisions compare."""
