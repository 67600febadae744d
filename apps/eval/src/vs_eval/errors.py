"""What can go wrong in an evaluation, in one line each."""

from pathlib import Path


class VsEvalError(Exception):
    """Root of the errors of this app: the caller's mistake, or a run that cannot be evaluated."""


class RunError(VsEvalError):
    """A run that is not there or cannot be evaluated.

    Attributes:
        path: the directory concerned.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class OptionError(VsEvalError):
    """A command-line option with a value that cannot be.

    Attributes:
        option: its name, dashes included.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
