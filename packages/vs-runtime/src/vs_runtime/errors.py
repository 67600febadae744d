"""What this package raises when something is wrong: every error is a `ValueError` and holds its facts as attributes."""

from pathlib import Path


class VsRuntimeError(ValueError):
    """Root of everything that this package raises on purpose."""


class ActivationError(VsRuntimeError):
    """A block cannot be recomputed as it was, since `parameter` changed between its forward and its backward."""

    def __init__(self, parameter: str, change: str) -> None:
        super().__init__(
            f"checkpointed: parameter {parameter!r} {change} between forward and backward, so recomputing would give "
            "other values; call backward before the optimizer's step"
        )
        self.parameter = parameter
        self.change = change


class AffinityError(VsRuntimeError):
    """A plan was asked for that cannot be; `argument` names what is wrong."""

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument


class StateError(VsRuntimeError):
    """A state holds something that a checkpoint does not take; `where` is its path inside it, empty for all of it."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem


class DamagedCheckpoint(VsRuntimeError):  # noqa: N818 - named for what it is
    """A checkpoint is incomplete, altered or foreign; `path` is its directory, `reason` says what is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NoCheckpoint(VsRuntimeError):  # noqa: N818 - named for what it is
    """There is no checkpoint that can be used; `skipped` holds those that were there, each with what is wrong."""

    def __init__(self, root: Path, skipped: tuple[tuple[Path, str], ...]) -> None:
        why = "; ".join(f"{path.name}: {reason}" for path, reason in skipped) or "it holds no checkpoint"
        super().__init__(f"{root}: nothing to resume from: {why}")
        self.root = root
        self.skipped = skipped


class RunDirectoryError(VsRuntimeError):
    """A directory that cannot be trained in or resumed from.

    Attributes:
        path: The directory.
    """

    def __init__(self, message: str, *, path: object) -> None:
        self.path = path
        super().__init__(message)


class RanksError(VsRuntimeError):
    """Processes that were to train together cannot; `stopped`: because somebody asked another one to stop."""

    def __init__(self, message: str, *, stopped: bool = False) -> None:
        self.stopped = stopped
        super().__init__(message)
