"""Drift: every metric against the frame number, over a roll-out far longer than the clips of training."""
