"""Fused Adam, O0/O1 precision policy, loss scalers, EMA and schedules for GANs."""

__version__ = "0.1.0"
