"""A batch in parts gives the same bits, however many processes share the parts."""

from pathlib import Path
from typing import Any

import pytest
from faults import same
from in_ranks import gone_on, trained
from rank_processes import RankProcesses, whole
from vs_runtime import load_checkpoint, load_latest
from vs_runtime.ranks import ONE

ORDERED: dict[str, Any] = {"distributed": {"reduce": "ordered", "bucket_mb": 1}}
CLIPPED: dict[str, Any] = {"optim": {"generator_clip_norm": 0.5, "discriminator_clip_norm": 0.5}}


@pytest.mark.parametrize(
    ("kind", "level", "shard"),
    [
        ("vid2vid", "O0", False),
        ("few-shot", "O0", True),
        pytest.param("vid2vid", "O1", True, marks=pytest.mark.slow),
        pytest.param("few-shot", "O1", False, marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_in_any_number_of_processes_to_the_same_bits(
    processes: RankProcesses, kind: str, level: str, shard: bool, tmp_path: Path
) -> None:
    """In two, then alone, then in four: the checkpoints are those of one process, random state and all."""
    distributed = {**ORDERED["distributed"], "shard_optimizer": shard}
    changes = {**CLIPPED, "distributed": distributed, "precision": {"level": level}}
    here, there = tmp_path / "here", tmp_path / "there"
    for count, stop in ((2, 2), (1, 4), (4, 6)):
        found = processes.start(gone_on, kind, changes, stop, there, ranks=count)
        expected = gone_on(ONE, kind, changes, stop, here)
        assert all(same(one, expected) for one in whole(found()))
    for path in here.iterdir():
        assert same(load_checkpoint(there / path.name).state, load_checkpoint(path).state)
    assert load_latest(there).step == 6


def test_processes_that_keep_no_order_are_the_same_up_to_rounding(processes: RankProcesses) -> None:
    """And of all of them the same bits. (Adam has made steps of D from what is rounding.)"""
    changes = {"distributed": {"bucket_mb": 1}, "memory": {"micro_batches": 2}}
    expected = trained(ONE, "vid2vid", changes, 1, 1)
    for count in (2, 4):
        first, *others = whole(processes.run(trained, "vid2vid", changes, 1, 1, ranks=count))
        assert all(same(one, first) for one in others)
        (told,), (known,) = first["reports"], expected["reports"]
        for network, norm in known["gradient_norms"].items():
            assert told["gradient_norms"][network] == pytest.approx(norm, rel=1e-4)
            assert told["losses"][network] == pytest.approx(known["losses"][network], rel=1e-4, abs=1e-4)
