"""Is O1 as good as O0: an experiment with its statistics."""
