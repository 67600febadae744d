"""What this package raises when a caller is wrong: every error is a `ValueError` and holds its facts as attributes.

Configurations raise `vs_config.ConfigError`.
"""

from __future__ import annotations

__all__ = [
    "AdamError",
    "EmaError",
    "GradientOverflowError",
    "PrecisionError",
    "StateError",
    "VsOptimError",
]


class VsOptimError(ValueError):
    """Root of everything that this package raises on purpose, but for `vs_config.ConfigError`."""


class PrecisionError(VsOptimError):
    """The precision asked for does not exist on the device; `device` and `reason` say why."""

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(f"precision on device {device!r}: {reason}")
        self.device = device
        self.reason = reason


class AdamError(VsOptimError):
    """The implementation of Adam that was asked for by name cannot be used; `impl` and `reason` say why."""

    def __init__(self, impl: str, reason: str) -> None:
        super().__init__(f"Adam: implementation {impl!r} cannot be used: {reason}")
        self.impl = impl
        self.reason = reason


class GradientOverflowError(VsOptimError):
    """Gradients are not finite although the loss scale is as small as it may get; no smaller scale cures that.

    Attributes:
        scale: the loss scale in use.
        indices: positions, among the optimizer's parameters (group by group), of those whose gradients are not finite.
        names: what they are called, one for each position, if the scaler was told; else empty.
    """

    def __init__(self, scale: float, indices: tuple[int, ...], names: tuple[str, ...] = ()) -> None:
        words = names or tuple(f"parameter {index}" for index in indices)
        more = f" and {len(words) - 5} more" if len(words) > 5 else ""
        super().__init__(
            f"gradients are not finite at the smallest allowed loss scale {scale:g}, in {', '.join(words[:5])}{more}: "
            "the losses or weights themselves have overflowed; lower the learning rate or train in level O0"
        )
        self.scale = scale
        self.indices = indices
        self.names = names


class StateError(VsOptimError):
    """A saved state does not fit what it is loaded into; `what` names it and `problem` says how."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"{what}: {problem}")
        self.what = what
        self.problem = problem


class EmaError(VsOptimError):
    """Averages and values do not belong together; `index` is the first pair that does not fit, or None."""

    def __init__(self, problem: str, index: int | None = None) -> None:
        super().__init__(f"ema_update: {problem}")
        self.index = index
