"""What can go wrong in this package."""


class VsNetsError(ValueError):
    """Root of the errors of `vs_nets`."""


class ShapeError(VsNetsError):
    """A tensor has a shape that a network cannot take."""


class WeightsError(VsNetsError):
    """A file of weights is missing, unreadable or made for another network."""
