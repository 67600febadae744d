"""Evaluate a trained generator: hatch run eval:vid2vid, hatch run eval:few-shot."""

__version__ = "0.1.0"
