"""What this package raises when a caller is wrong: every error is a `ValueError` and holds its facts as attributes."""

from collections.abc import Mapping

import torch


class VsOpsError(ValueError):
    """The root of all errors of `vs_ops`; `operator` names the function that refused its arguments."""

    def __init__(self, operator: str, message: str) -> None:
        super().__init__(f"{operator}: {message}")
        self.operator = operator


class ShapeError(VsOpsError):
    """The error of shapes that do not fit together; `shapes` maps argument names to the shapes that were given."""

    def __init__(self, operator: str, problem: str, **tensors: torch.Tensor) -> None:
        self.shapes: Mapping[str, tuple[int, ...]] = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        given = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
        super().__init__(operator, f"{problem}; got {given}" if given else problem)


class DtypeError(VsOpsError):
    """The error of an argument of a dtype that the operator does not take; `dtype` is the offending one."""

    def __init__(self, operator: str, argument: str, dtype: torch.dtype, expected: str) -> None:
        super().__init__(operator, f"{argument} must be {expected}, got {dtype}")
        self.argument = argument
        self.dtype = dtype


class ClassIdError(VsOpsError):
    """The error of a class id out of range; `value` at `position` (batch, row, column) is the first such id."""

    def __init__(self, operator: str, value: int, position: tuple[int, ...], num_classes: int, ignore_id: int) -> None:
        super().__init__(
            operator,
            f"class id {value} at (batch, row, column) = {position} is neither in [0, {num_classes}) "
            f"nor the ignored id {ignore_id}",
        )
        self.value = value
        self.position = position
        self.num_classes = num_classes
        self.ignore_id = ignore_id


class ImplementationError(VsOpsError):
    """The error of a requested implementation that does not exist or refuses this call; `reason` says why."""

    def __init__(self, operator: str, impl: str, reason: str) -> None:
        super().__init__(operator, f"implementation {impl!r} cannot be used: {reason}")
        self.impl = impl
        self.reason = reason
