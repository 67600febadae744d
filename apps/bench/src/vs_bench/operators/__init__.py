"""Each operator, timed in every implementation."""
