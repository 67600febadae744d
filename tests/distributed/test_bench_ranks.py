"""What `bench:distributed` has processes do: steps together and apart, and comparisons."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from faults import run_config
from rank_processes import RankProcesses, whole
from torch import Tensor
from vs_bench.distributed import sharding
from vs_bench.distributed.measured import DECISIONS
from vs_bench.distributed.processes import one_clip_each
from vs_bench.distributed.rank import ALONE, COMPARE, ORDERED, QUESTIONS, ROWS, STEP, works_of
from vs_runtime.ranks import ONE, Ranks


def done(ranks: Ranks, works: Sequence[str]) -> list[str]:
    """Build the works of a rank, do some of them, and return the names of all."""
    made = works_of(one_clip_each(run_config(), 2), 1, ranks)
    for work in works:
        made[work]()
    return list(made)


def questions(ranks: Ranks, frames: int) -> int:
    """Count the small questions of a step, in which no gradients travel."""
    step = works_of(one_clip_each(run_config(), 2), frames, ranks)[STEP]
    sizes: list[int] = []
    reduce = dist.all_reduce

    def counted(tensor: Tensor, *given: Any, **named: Any) -> Any:
        sizes.append(tensor.numel() if tensor.dtype == torch.float64 else 0)
        return reduce(tensor, *given, **named)

    with mock.patch.object(dist, "all_reduce", counted):
        step()
    return sum(size > 0 for size in sizes)


def test_the_simulation_knows_how_often_ranks_wait_for_one_another(processes: RankProcesses) -> None:
    one, two = (whole(processes.run(questions, frames, ranks=2))[0] for frames in (1, 2))
    assert two - one == DECISIONS


def kept(ranks: Ranks) -> dict[str, int]:
    """Do all that is compared of optimizers that are shared, and return what each keeps here."""
    works = sharding.works_of(run_config(), 1, ranks)
    *others, size = works
    for work in others:
        works[work]()
    return works[size]()  # type: ignore[return-value]


def test_both_ways_to_share_an_optimizer_keep_everything_once(processes: RankProcesses) -> None:
    first, second = whole(processes.run(kept, ranks=2))
    assert first[sharding.EACH] == second[sharding.EACH] > 0
    for name in (sharding.OURS, sharding.THEIRS):
        assert first[name] + second[name] == first[sharding.EACH]
        assert max(first[name], second[name]) < 0.7 * first[sharding.EACH]


def test_ranks_do_all_that_is_compared_and_have_learnt_the_same(processes: RankProcesses) -> None:
    answers = whole(processes.run(done, (STEP, COMPARE, ORDERED, ALONE, QUESTIONS, ROWS), ranks=2))
    assert answers == 2 * [[STEP, ORDERED, ALONE, COMPARE, QUESTIONS, ROWS]]
    assert done(ONE, (STEP,)) == [STEP]
