"""How processes share a batch, and which cannot."""

from typing import Any

import pytest
from faults import run_config
from hypothesis import given
from hypothesis import strategies as st
from vs_config import ConfigError
from vs_runtime.ranks import ONE, Ranks
from vs_training.sharing import check_sharing, own_loader, own_parts


def ranks(count: int) -> Ranks:
    return Ranks(rank=0, count=count, local_rank=0, local_count=count)


def config(batch: int | str, parts: int = 1, reduce: str = "fast") -> Any:
    return run_config(
        loader={"batch_size": batch}, memory={"micro_batches": parts}, distributed={"reduce": reduce, "check_every": 0}
    )


@given(own=st.integers(1, 5), parts=st.integers(1, 5), count=st.integers(1, 9))
def test_the_parts_of_a_batch_are_the_same_for_any_number_of_processes(own: int, parts: int, count: int) -> None:
    """As long as the processes divide them."""
    asked = config(own * parts * count, parts * count, "ordered")
    check_sharing(asked, ranks(count))
    assert own_parts(asked, ranks(count)) == parts
    assert own_loader(asked, ranks(count)).clips == own * parts
    assert own_parts(asked, ONE) * own == own_loader(asked, ONE).clips


def test_more_processes_than_parts_compute_one_each() -> None:
    check_sharing(config(8, 2), ranks(4))
    assert own_parts(config(8, 2), ranks(4)) == 1


@pytest.mark.parametrize(
    ("asked", "count", "said"),
    [
        (config(6), 4, "loader.batch_size: expected a multiple of 4, the number of processes, got 6"),
        (config("auto"), 2, "loader.batch_size: expected a number, got 'auto'; 2 processes share it"),
        (
            config(12, 3),
            4,
            "memory.micro_batches: expected a multiple or a divisor of 4, the number of processes, got 3",
        ),
        (config(8, 2, "ordered"), 4, "memory.micro_batches: expected a multiple of 4, the number of processes, that"),
    ],
)
def test_who_cannot_share_is_told_what_would_do(asked: Any, count: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_sharing(asked, ranks(count))
    check_sharing(asked, ONE)
