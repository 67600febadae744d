"""Errors of this package: a caller is wrong. Every one is a `ValueError` and holds its facts as attributes.

Configurations raise `vs_config.ConfigError`.
"""


class VsOptimError(ValueError):
    """Root of everything that this package raises on purpose, but for `vs_config.ConfigError`."""


class PrecisionError(VsOptimError):
    """A precision that does not exist on the device; `device` and `reason` say why."""

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(f"precision on device {device!r}: {reason}")
        self.device = device
        self.reason = reason


class AdamError(VsOptimError):
    """An implementation of Adam, asked for by name, that cannot be used; `impl` and `reason` say why."""

    def __init__(self, impl: str, reason: str) -> None:
        super().__init__(f"Adam: implementation {impl!r} cannot be used: {reason}")
        self.impl = impl
        self.reason = reason


class StateError(VsOptimError):
    """A saved state that does not fit what it is loaded into; `what` names it and `problem` says how."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"{what}: {problem}")
        self.what = what
        self.problem = problem
