"""A process that makes steps when it is told to, by itself or with others: what `processes` starts.

Its first line of input is a JSON object: `config`, a configuration as TOML, `frames` and `threads`. It answers when
everything is built, and from then on each name of a work, by doing it. Between two of them it waits in a read, without
a thread that computes.
"""

import functools
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
import torch.distributed as dist
from vs_config import load_config, parse_toml
from vs_runtime.ranks import ONE, Ranks, joined, most
from vs_training.agreement import require_one_state
from vs_training.config import TrainConfig
from vs_training.sharing import check_sharing, own_loader

from vs_bench.step.stepper import answering, keep_memory_as_training_does
from vs_bench.talk.stage import Stage, one_clip, set_up, step_of

STEP = "step"
ORDERED = "ordered"
ALONE = "alone"
COMPARE = "compare"
"""Steps together, those whose sums have an order, those of each process by itself, and a comparison of all learnt."""

QUESTIONS = "questions"
ROWS = "rows"
"""All-reduces alone, while nobody computes: of one number each, and of long rows of them."""

QUESTION_COUNT = 200
ROW_COUNT = 8
ROW_BYTES = 10 * 2**20
"""How many all-reduces such a work consists of, and how long the rows are: about the generator of street-tiny."""

CPU = torch.device("cpu")
Work = Callable[[], Mapping[str, Any] | None]
"""Something to do; what it returns, if anything, is the answer."""


def works_of(config: TrainConfig, frames: int, ranks: Ranks) -> dict[str, Work]:
    """Return what a process can be told to do: a step, and if it is not by itself what that is compared with."""

    def step(stage: Stage) -> Work:
        return step_of(stage, one_clip(stage, batch=own_loader(config, ranks).clips, frames=frames))

    together = set_up(config, CPU, ranks)
    works = {STEP: step(together)}
    if ranks.count > 1:
        works[ORDERED] = step(set_up(in_order(config, ranks.count), CPU, ranks))
        works[ALONE] = step(set_up(config, CPU, ONE))
        works[COMPARE] = lambda: require_one_state(ranks, together.state)
        works[QUESTIONS] = functools.partial(_ask_often, ranks)
        works[ROWS] = _add_up_rows
    return works


def _ask_often(ranks: Ranks) -> None:
    for _ in range(QUESTION_COUNT):
        most(ranks, [0.0])


def _add_up_rows() -> None:
    row = torch.zeros(ROW_BYTES // 4)
    for _ in range(ROW_COUNT):
        dist.all_reduce(row)


def in_order(config: TrainConfig, parts: int) -> TrainConfig:
    """Return the configuration whose gradients are added up in the order of so many parts of the batch."""
    return attrs.evolve(
        config,
        distributed=attrs.evolve(config.distributed, reduce="ordered"),
        memory=attrs.evolve(config.memory, micro_batches=parts),
    )


def serve(works_of: Callable[[TrainConfig, int, Ranks], Mapping[str, Work]] = works_of) -> None:
    """Do what standard input asks for, of what a function of the configuration, the frames and the ranks offers."""
    answer = answering()
    plan: Mapping[str, Any] = json.loads(sys.stdin.readline())
    torch.set_num_threads(plan["threads"])
    config = load_config(TrainConfig, parse_toml(plan["config"], "the plan"))
    keep_memory_as_training_does(config)
    with joined() as ranks:
        check_sharing(config, ranks)
        works = works_of(config, plan["frames"], ranks)
        answer()
        for line in sys.stdin:
            answer(**(works[line.strip()]() or {}))


if __name__ == "__main__":
    serve()
