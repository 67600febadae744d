"""Clips for video synthesis: a procedural street, folders, flow teachers, loaders."""

__version__ = "0.1.0"
