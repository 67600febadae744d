"""One training step as a call; run as a program, a process that makes steps when it is told to.

The program compares revisions: it runs with the packages of any of them and with this app, which it therefore takes
nothing of that could lack something there (see against.py). Its first line of input is a JSON object:
`document`, `overrides` and `title` of a configuration; `stages`, a list of pairs (training step, frames); `threads`;
`device`; `count`, whether it says in its answer how many FLOPs each stage has. From then on it answers each number of a
stage with what its step used. In between it waits in a read, without a thread that computes. An error ends it, as any
error ends Python.
"""

import functools
import importlib
import importlib.util
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
import vs_optim as optim
import vs_training
from vs_config import resolve_config
from vs_data import Clip, ClipRequest, ClipSource, VsDataError, collate, move, open_source
from vs_runtime import choose_device, search_convolutions
from vs_training.config import TrainConfig, label_spec
from vs_training.networks import build_recipe, build_state
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

from vs_bench.peak import flop_of

Step = Callable[[], None]
"""A training step."""


def stepper(config: TrainConfig, frames: int, device: torch.device) -> Step:
    """Return a step on `frames` frames that trains all networks, as a call without arguments, all as in training."""
    (step,) = steppers(config, [(config.curriculum.flow_steps, frames)], device)
    return step


def steppers(config: TrainConfig, stages: Sequence[tuple[int, int]], device: torch.device) -> list[Step]:
    """Return steps of one run, which train the same networks in turn.

    Args:
        config: of the run.
        stages: which training step each is, counted from 0, and on how many frames.
        device: where to.
    """
    torch.manual_seed(config.seed)
    source = open_source(config.data, "train")
    spec = label_spec(config.labels, source)
    precision = optim.resolve_precision(config.precision, device)
    graphs = _has_graphs(config, device)
    options: dict[str, Any] = {"capturable": True} if graphs else {}
    state, _ = build_state(config, spec, precision, device, **options)
    recipe = build_recipe(config, spec, precision, device)
    updated = _by_graphs(config, device) if graphs else ()

    def run(number: int, clip: Clip) -> None:
        nonlocal state
        state = next_state(attrs.evolve(state, step=number), clip, recipe, config, *updated)

    def step(number: int, frames: int) -> Step:
        clip = move(read_batch(config, source, batch=_clips(config), frames=frames), device)
        return lambda: run(number, clip)

    return [step(number, frames) for number, frames in stages]


def next_state(state: TrainState, clip: Clip, recipe: Recipe, config: TrainConfig, *updated: Any) -> TrainState:
    """Make a step as its own training would, in a process in which those of other settings run in turn."""
    optim.apply_math_mode(recipe.precision)
    search_convolutions(recipe.device, wanted=config.memory.search_convolutions)
    state, _ = train_clip(state, clip, recipe, *updated)
    return state


def _has_graphs(config: TrainConfig, device: torch.device) -> bool:
    """Tell whether frames are updated by CUDA graphs, of which earlier revisions know nothing."""
    if device.type != "cuda" or not hasattr(getattr(config, "performance", None), "graphs"):
        return False
    from vs_training.graphs import settle_graphs  # here, because earlier revisions have no such module

    return settle_graphs(config, device)


def _by_graphs(config: TrainConfig, device: torch.device) -> tuple[Any]:
    from vs_training.graphs import frame_updater

    return (frame_updater(config, device, functools.partial(print, file=sys.stderr)),)


def read_batch(config: TrainConfig, source: ClipSource, *, batch: int, frames: int) -> Clip:
    """Read the beginnings of sequences as a batch, with the most references, on the CPU."""
    count = 0 if config.references is None else config.references.max
    references = tuple(frames + k for k in range(count))  # frames behind the clip, so that none shows itself
    sequences = [i % len(source.sequences) for i in range(batch)]
    requests = [ClipRequest(sequence=i, start=0, length=frames, references=references) for i in sequences]
    return collate([source.read(request) for request in requests])


def _clips(config: TrainConfig) -> int:
    match config.loader.batch_size:  # a number in all revisions
        case int() as count:
            return count
        case _:
            raise VsDataError("loader.batch_size: a step is measured on a number of clips; give one")


def serve() -> None:
    """Make the steps that standard input asks for."""
    answer = answering()
    plan = json.loads(sys.stdin.readline())
    torch.set_num_threads(plan["threads"])
    device = choose_device(plan["device"])
    config = resolve_config(TrainConfig, plan["document"], plan["overrides"], plan["title"])
    keep_memory_as_training_does(config)
    steps = steppers(config, plan["stages"], device)
    answer(sources=vs_training.__file__, flop=[flop_of(step) for step in steps] if plan["count"] else None)
    for line in sys.stdin:
        before = page_faults()
        steps[int(line)]()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        answer(page_faults=page_faults() - before, gpu_bytes=_gpu_bytes(device))


def answering() -> Callable[..., None]:
    """Return what writes answers to standard output, to which nothing else goes from now on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints is no answer

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    return answer


def keep_memory_as_training_does(config: TrainConfig) -> None:
    """Let this process keep freed memory if the training of the revision whose packages it has does so."""
    if importlib.util.find_spec("vs_config.tuning") is None:
        return  # a revision before there was such a thing
    tuning = importlib.import_module("vs_config.tuning")
    tuning.keep_freed_memory(wanted=config.performance.keep_memory)


def page_faults() -> int:
    """Return how often this process has been given a page of memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _gpu_bytes(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


if __name__ == "__main__":
    serve()
