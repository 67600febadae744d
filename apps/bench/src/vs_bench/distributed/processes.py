"""A training step in one process beside the same in several, which share its batch and the cores of this machine."""

import contextlib
import functools
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from vs_config import render_config
from vs_config.progress import Progress
from vs_runtime.ranks.members import COUNTED, MEETING
from vs_training.config import TrainConfig
from vs_training.exchange import Link, ring_bytes

from vs_bench.distributed.rank import (
    ALONE,
    COMPARE,
    ORDERED,
    QUESTION_COUNT,
    QUESTIONS,
    ROW_BYTES,
    ROW_COUNT,
    ROWS,
    STEP,
)
from vs_bench.harness import Case, Result, measure, ratio_of
from vs_bench.step.worker import Worker, running

_PROGRAM = "vs_bench.distributed.rank"
_HERE = "127.0.0.1"
ONE = "1 process"
TOGETHER = "together"
IN_ORDER = "together, sums in order"
APART = "each by itself"
COMPARISON = "comparison of all that is learnt"
ASKED = "questions alone"
SENT = "gradients alone"

_CASES: Sequence[tuple[str, str, str]] = (
    (TOGETHER, STEP, "gradients added up beside the backward pass"),
    (IN_ORDER, ORDERED, "the same bits for any number of processes"),
    (APART, ALONE, "the same clips, and nothing added up"),
    (COMPARISON, COMPARE, "distributed.check_every"),
    (ASKED, QUESTIONS, f"{QUESTION_COUNT} all-reduces of one number"),
    (SENT, ROWS, f"{ROW_COUNT} all-reduces of {ROW_BYTES / 2**20:g} MiB"),
)


@attrs.frozen(kw_only=True)
class Compared:
    """The comparison of a step of one process with all threads and of several that share these.

    Attributes:
        config: of the step, whose batch is one clip for each process.
        frames: of the clips.
        processes: how many there are.
        threads: how many all of them have.
    """

    config: TrainConfig
    frames: int
    processes: int
    threads: int


def measure_processes(compared: Compared, *, rounds: int, progress: Progress) -> Result:
    """Measure all cases in turns; nobody computes but those whose turn it is.

    Raises:
        VsBenchError: a process has ended.
    """
    count = compared.processes
    with group(compared, 1) as alone, group(compared, count) as several:
        cases = [
            Case(name=ONE, run=functools.partial(ask, alone, STEP), note=f"{compared.threads} threads"),
            *(Case(name=name, run=functools.partial(ask, several, work), note=note) for name, work, note in _CASES),
        ]
        return measure(cases, rounds=rounds, warmup=1, threads=compared.threads, progress=progress)


def one_clip_each(config: TrainConfig, processes: int) -> TrainConfig:
    """Return the configuration with a batch of a clip for each process. Pure."""
    loader, memory = attrs.evolve(config.loader, batch_size=processes), attrs.evolve(config.memory, micro_batches=1)
    return attrs.evolve(config, loader=loader, memory=memory)


def facts_of(result: Result) -> dict[str, Any]:
    """Return what the cases say of several processes. Pure.

    Efficiency is how much of the speed of one process with all threads several have; exposed are the seconds that a
    step takes longer because gradients are added up.
    """
    efficiency = ratio_of(result.case(ONE), result.case(TOGETHER))
    ordered = ratio_of(result.case(IN_ORDER), result.case(TOGETHER))
    together, apart = (result.case(name).median for name in (TOGETHER, APART))
    return {
        "efficiency": attrs.asdict(efficiency),
        "exposed_seconds": together - apart,
        "exposed_share": (together - apart) / together,
        "ordered_ratio": attrs.asdict(ordered),
        "comparison_seconds": result.case(COMPARISON).median,
        "comparison_steps": result.case(COMPARISON).median / together,
        "link": attrs.asdict(link_of(result.case(ASKED).median, result.case(SENT).median)),
    }


def link_of(asked: float, sent: float) -> Link:
    """Return the link of a ring of two processes that takes so many seconds for the questions and the rows. Pure.

    An all-reduce is two messages one after the other there.
    """
    question = asked / QUESTION_COUNT
    row = sent / ROW_COUNT - question
    return Link(name="gloo, nobody computes", bytes_per_second=ring_bytes(ROW_BYTES, 2) / row, latency=question / 2)


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """Say in words what `facts_of` has found. Pure."""
    efficiency, ordered = facts["efficiency"], facts["ordered_ratio"]["value"]
    exposed, share = 1e3 * facts["exposed_seconds"], 100 * facts["exposed_share"]
    compared, steps = 1e3 * facts["comparison_seconds"], facts["comparison_steps"]
    link = facts["link"]
    return [
        f"together they are {efficiency['value']:.2f} times as fast as one process with all threads "
        f"(95 %: {efficiency['low']:.2f} to {efficiency['high']:.2f})",
        f"adding up gradients is waited for {exposed:.1f} ms a step, {share:.1f} % of it",
        f"with sums in order a step takes {ordered:.2f} times as long",
        f"a comparison of all that is learnt takes {compared:.1f} ms, as long as {steps:.2f} steps",
        f"while nobody computes, {link['bytes_per_second'] / 1e9:.2f} GB/s go each way, and a message takes "
        f"{1e6 * link['latency']:.0f} µs beside its bytes",
    ]


@contextlib.contextmanager
def group(compared: Compared, count: int, *, program: str = _PROGRAM) -> Iterator[list[Worker]]:
    """Start processes that share the batch; they are ready when this begins."""
    port = _free_port()
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(running(f"process {rank}", program, _environment(rank, count, port)))
            for rank in range(count)
        ]
        plan = {
            "config": render_config(one_clip_each(compared.config, compared.processes)),
            "frames": compared.frames,
            "threads": max(1, compared.threads // count),
        }
        ask(workers, json.dumps(plan))
        yield workers


def ask(workers: Sequence[Worker], line: str) -> list[Any]:
    """Have all of them do something at once, wait for all, and return their answers."""
    for worker in workers:
        worker.send(line)
    return [worker.answer() for worker in workers]


def _environment(rank: int, count: int, port: int) -> dict[str, str]:
    """Return the environment of a rank as torchrun makes it; one by itself has none of it."""
    inherited = {name: value for name, value in os.environ.items() if name not in (*COUNTED, *MEETING)}
    if count == 1:
        return inherited
    numbers = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    return {**inherited, "MASTER_ADDR": _HERE, **{name: str(number) for name, number in numbers.items()}}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((_HERE, 0))
        return int(found.getsockname()[1])
