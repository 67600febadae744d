"""Processes for the tests of several of them."""

from collections.abc import Iterator

import pytest
from rank_processes import RankProcesses, rank_processes


@pytest.fixture(scope="session")
def processes() -> Iterator[RankProcesses]:
    """Four processes, started once."""
    with rank_processes(4) as found:
        yield found
