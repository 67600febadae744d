"""What holds for every test: cores, how Hypothesis searches, what runs Triton kernels, what needs a GPU."""

import os
from collections.abc import Iterator

import pytest

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Workers, and the programs that their tests start, share the cores. OpenMP reads this when PyTorch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import torch
from hypothesis import settings

if not torch.cuda.is_available():
    # Triton's interpreter runs kernels on the CPU. It has to be asked for before anything imports Triton.
    os.environ.setdefault("TRITON_INTERPRET", "1")

settings.register_profile("vs", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("vs")


@pytest.fixture(
    params=[
        "auto",
        "reference",
        "torchscript",
        pytest.param("inductor", marks=pytest.mark.slow),
        pytest.param("triton", marks=pytest.mark.slow),
    ]
)
def every_implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with each implementation of the operators in turn, wherever that one accepts the call."""
    monkeypatch.setenv("VS_OPS_IMPL", request.param)
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The test runs on the CPU and, where there is one, on a GPU: there without TF32, as in O0."""
    modes = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [mode.allow_tf32 for mode in modes]
    for mode in modes:
        mode.allow_tf32 = False
    yield torch.device(request.param)
    for mode, allowed in zip(modes, before, strict=True):
        mode.allow_tf32 = allowed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where there is no CUDA device, and say so."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, and PyTorch sees none")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
