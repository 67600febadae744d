"""Thread affinity, activation checkpointing, run checkpoints and seeding."""

__version__ = "0.1.0"
