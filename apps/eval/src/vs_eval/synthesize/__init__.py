"""Synthesis: frames from labels alone, by a model that was trained."""
