"""Evaluate a trained generator: hatch run eval:vid2vid."""

__version__ = "0.1.0"
