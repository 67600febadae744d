"""Bounds of the configurations here."""

MAX_STEPS = 10**9
"""Steps that no training reaches: bounds of what is counted in steps."""

MAX_SCALE = 1e30
"""The largest loss scale: float32 ends at 3e38, and losses are multiplied by it."""

MIN_SCALE = 1e-30
"""The smallest loss scale."""
