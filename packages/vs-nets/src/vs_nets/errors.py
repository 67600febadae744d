"""Errors of this package."""


class VsNetsError(ValueError):
    """Root of the errors of `vs_nets`."""


class ShapeError(VsNetsError):
    """A shape of a tensor that a network cannot take."""


class WeightsError(VsNetsError):
    """A file of weights that is missing, unreadable or made for another network."""
