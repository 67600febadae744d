"""Measure: one training step, each operator, the accuracy of mixed precision."""

__version__ = "0.1.0"
