"""The models that come with the workspace, for tests that take them beside small ones."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
NAMES = ("street", "faces")


def shipped(name: str) -> Path:
    """The directory of a model; where it is not there the test is skipped, with the reason."""
    path = MODELS / name
    if not (path / "model.json").exists():
        pytest.skip(f"models/{name} is not there")
    return path
