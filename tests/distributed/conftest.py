"""Processes for the tests of several of them."""

from collections.abc import Iterator

import pytest
import torch
from rank_processes import RankProcesses, rank_processes


@pytest.fixture(scope="session")
def processes() -> Iterator[RankProcesses]:
    """Four processes, started once."""
    with rank_processes(4) as found:
        yield found


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute with as many threads as those processes have, on which bits depend, here and in programs that are run."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
