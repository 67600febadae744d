"""What a caller can do wrong, as exceptions with the facts in attributes."""

from pathlib import Path


class VsMetricsError(ValueError):
    """Root of everything that this package raises on purpose."""


class ShapeError(VsMetricsError):
    """A tensor or an array has a shape that the function cannot take.

    Attributes:
        argument: name of the argument.
        shape: the shape that was given.
        wanted: the shape that is wanted, in words.
    """

    def __init__(self, argument: str, shape: tuple[int, ...], wanted: str) -> None:
        super().__init__(f"{argument} has shape {tuple(shape)}, expected {wanted}")
        self.argument = argument
        self.shape = tuple(shape)
        self.wanted = wanted


class ClassIdError(VsMetricsError):
    """A class id lies outside the number of classes.

    Attributes:
        value: the id.
        num_classes: how many classes there are.
    """

    def __init__(self, value: int, num_classes: int) -> None:
        super().__init__(f"class id {value} is outside 0..{num_classes - 1}: raise num_classes or repair the label map")
        self.value = value
        self.num_classes = num_classes


class VideoError(VsMetricsError):
    """A video cannot be written as asked for.

    Attributes:
        path: the file that was asked for.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class FeatureFileError(VsMetricsError):
    """A file is not one of a feature network, or of another network than is wanted.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class TooFewError(VsMetricsError):
    """A distance of two sets that have too few samples to say anything.

    Attributes:
        count: how many there are, in the smaller set.
        least: how many are needed.
    """

    def __init__(self, count: int, least: int, why: str) -> None:
        super().__init__(f"{count} samples, where at least {least} are needed: {why}")
        self.count = count
        self.least = least
