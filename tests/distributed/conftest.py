"""Processes for the tests of several of them."""

from collections.abc import Iterator

import pytest
from rank_processes import RankProcesses, rank_processes


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RankProcesses]:
    """Four processes, started once."""
    with rank_processes(4, tmp_path_factory.mktemp("ranks")) as found:
        yield found
