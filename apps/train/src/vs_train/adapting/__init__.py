"""Fitting a few-shot model to one subject: `train:adapt`."""
