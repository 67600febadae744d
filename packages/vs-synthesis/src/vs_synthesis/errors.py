"""What can go wrong with a trained model, in one line each."""

from pathlib import Path


class VsSynthesisError(Exception):
    """Root of the errors of this package."""


class ModelError(VsSynthesisError):
    """A model directory or a run that is not there, is damaged, or cannot be used for what is wanted.

    Attributes:
        path: the directory or file concerned.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
