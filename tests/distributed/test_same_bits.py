"""A batch in parts gives the same bits, however many processes share the parts."""

from typing import Any

import pytest
from faults import same
from in_ranks import trained
from rank_processes import RankProcesses, whole
from vs_runtime.ranks import ONE

CLIPPED: dict[str, Any] = {"generator_clip_norm": 0.5, "discriminator_clip_norm": 0.5}


@pytest.mark.parametrize("kind", ["vid2vid", "few-shot"])
def test_any_number_of_processes_gives_the_bits_of_one(processes: RankProcesses, kind: str) -> None:
    changes = {"distributed": {"reduce": "ordered", "bucket_mb": 1}, "optim": CLIPPED}
    expected = trained(ONE, kind, changes, 2, 3)
    for count in (2, 4):
        for found in whole(processes.run(trained, kind, changes, 2, 3, ranks=count)):
            assert same(found, expected)
