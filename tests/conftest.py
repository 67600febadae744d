"""What holds for every test: how Hypothesis searches, and what a machine without a GPU skips."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("vs", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("vs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where there is no CUDA device, and say so."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, and PyTorch sees none")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
