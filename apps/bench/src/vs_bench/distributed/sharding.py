"""Adam of a generator among processes: each steps all parameters, or its share, by our shards or by PyTorch's.

PyTorch's is `torch.distributed.optim.ZeroRedundancyOptimizer`, whose state travels as pickles when a checkpoint is
made. It is a program as `rank` is: it answers each name of a work by doing it, and `BYTES` by what Adam keeps here.
"""

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
import vs_optim as optim
from torch import nn
from vs_config.amounts import show_bytes
from vs_config.progress import Progress
from vs_data import open_source
from vs_runtime.ranks import Ranks
from vs_training.config import TrainConfig, label_spec
from vs_training.networks import build_generators
from vs_training.shards import share_parameters, tell_after_steps, whole_adam_state

from vs_bench.distributed.processes import Compared, ask, group
from vs_bench.distributed.rank import Work, serve
from vs_bench.harness import Case, Result, measure

PROGRAM = "vs_bench.distributed.sharding"
EACH = "each steps all"
OURS = "our shards"
THEIRS = "ZeroRedundancyOptimizer"
GATHER_OURS = "our shards, gathered"
GATHER_THEIRS = "ZeroRedundancyOptimizer, gathered"
BYTES = "bytes"

_NOTES: Mapping[str, str] = {
    EACH: "a step of Adam",
    OURS: "a step, and all parameters told",
    THEIRS: "a step, and all parameters told",
    GATHER_OURS: "the state of a checkpoint, in the first process",
    GATHER_THEIRS: "the state of a checkpoint, in the first process, as pickles",
}


def measure_sharding(compared: Compared, *, rounds: int, progress: Progress) -> tuple[Result, dict[str, list[int]]]:
    """Measure all works in turns; also return the bytes that each of them keeps in each process.

    Raises:
        VsBenchError: a process has ended.
    """
    with group(compared, compared.processes, program=PROGRAM) as workers:
        cases = [Case(name=name, run=functools.partial(ask, workers, name), note=note) for name, note in _NOTES.items()]
        result = measure(cases, rounds=rounds, warmup=1, threads=compared.threads, progress=progress)
        kept = ask(workers, BYTES)
    return result, {name: [each[name] for each in kept] for name in (EACH, OURS, THEIRS)}


def sentences(kept: Mapping[str, list[int]]) -> list[str]:
    """Say what Adam keeps in each process. Pure."""
    return [f"{name}: Adam keeps {', '.join(map(show_bytes, sizes))}" for name, sizes in kept.items()]


def works_of(config: TrainConfig, _: int, ranks: Ranks) -> dict[str, Work]:
    """Return what a process can be told to do: steps of three optimizers, and gathering what two of them keep."""
    adam = config.optim.generator
    each, _choice = optim.build_adam(_with_gradients(config), adam)
    parameters = _with_gradients(config)
    shards = share_parameters(ranks, parameters)
    ours, _choice = optim.build_adam(shards.of(ranks.rank), adam)
    tell_after_steps(ours, shards)
    theirs = _zero_redundancy(_with_gradients(config), adam)
    return {
        EACH: _stepped(each),
        OURS: _stepped(ours),
        THEIRS: _stepped(theirs),
        GATHER_OURS: lambda: _nothing_of(whole_adam_state(ours, shards)),
        GATHER_THEIRS: lambda: theirs.consolidate_state_dict(to=0),
        BYTES: lambda: {EACH: _kept(each), OURS: _kept(ours), THEIRS: _kept(theirs.optim)},
    }


def _zero_redundancy(parameters: list[nn.Parameter], adam: optim.AdamConfig) -> Any:
    """Return PyTorch's optimizer, whose package compiles old programs when it is imported, and warns of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.distributed.optim import ZeroRedundancyOptimizer
    return ZeroRedundancyOptimizer(
        parameters, optimizer_class=torch.optim.Adam, lr=adam.lr, betas=adam.betas, eps=adam.eps, fused=True
    )


def _with_gradients(config: TrainConfig) -> list[nn.Parameter]:
    """Return the parameters of a generator, each with some gradient, the same in all processes."""
    torch.manual_seed(config.seed)
    generator, _ = build_generators(config, label_spec(config.labels, open_source(config.data, "train")))
    for parameter in generator.parameters():
        parameter.grad = torch.randn_like(parameter)
    return list(generator.parameters())


def _stepped(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    def step() -> None:
        optimizer.step()

    return step


def _nothing_of(_: Any) -> None:
    """Let go of what was gathered."""


def _kept(optimizer: torch.optim.Optimizer) -> int:
    states = (state.values() for state in optimizer.state.values())
    return sum(value.nbytes for values in states for value in values if isinstance(value, torch.Tensor))


if __name__ == "__main__":
    serve(works_of)
