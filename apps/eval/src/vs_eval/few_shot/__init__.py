"""Few-shot evaluation: subjects that training has never seen, each shown to the generator in a few frames."""
