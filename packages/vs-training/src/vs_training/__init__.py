"""One training step as functions, and what a run consists of."""

__version__ = "0.1.0"
