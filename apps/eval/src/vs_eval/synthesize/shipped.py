"""The models that come with the workspace, for whoever has trained none."""

from pathlib import Path

from vs_synthesis import is_model

MODELS = Path(__file__).resolve().parents[5] / "models"
"""Of the checkout that this file is part of; installed from a wheel there is no such folder."""


def shipped_model(*, of_people: bool) -> Path | None:
    """Return the few-shot model of faces, or the one of streets; None where it is not there."""
    path, here = MODELS / ("faces" if of_people else "street"), Path.cwd()
    if not is_model(path):
        return None
    return path.relative_to(here) if path.is_relative_to(here) else path
