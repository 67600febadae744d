"""Fused operators for video synthesis networks, each with a readable reference."""

__version__ = "0.1.0"
