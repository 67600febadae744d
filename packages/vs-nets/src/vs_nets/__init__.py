"""Generators, discriminators and losses of vid2vid."""

__version__ = "0.1.0"
