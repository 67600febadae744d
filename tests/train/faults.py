"""Faults put into training by tests, and what to look at afterwards."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
import vs_nets as nets
import vs_optim as optim
import vs_runtime as runtime
from test_step import DOCUMENT, setup, street_clip
from torch import Tensor, nn
from vs_config import load_config
from vs_config.signals import StopRequest
from vs_optim import Network, OverflowPolicy
from vs_runtime.metrics_log import without_clock
from vs_runtime.run_directory import RunDirectory
from vs_train.training import TrainResult, train
from vs_training import step as step_module
from vs_training import update as updates
from vs_training.config import TrainConfig
from vs_training.fixed import FIXED
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

SCALED = optim.Precision(level="O0", dtype=None, scaling=True)
"""Loss scaling without low precision: every number of a run without faults is that of plain float32."""

POLICIES: tuple[OverflowPolicy, ...] = ("independent", "generator_waits", "paired")
PLACES: tuple[tuple[Network, ...], ...] = (("discriminator",), ("generator",), ("discriminator", "generator"))


def merged(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {k: merged(document[k], v) if isinstance(v, dict) and k in document else v for k, v in changes.items()}
    return {**document, **both}


def scaled_setup(changes: dict[str, Any] | None = None, **scaler: Any) -> tuple[TrainState, Recipe]:
    """The tiny networks, with loss scaling."""
    document = merged(DOCUMENT, {**(changes or {}), "optim": {"scaler": {"init_scale": 2.0**10, **scaler}}})
    config = load_config(TrainConfig, document)
    state, recipe = setup(config)
    scaling = optim.initial_scaling(config.optim.scaler, SCALED)
    return attrs.evolve(state, scaling=scaling), attrs.evolve(recipe, precision=SCALED)


def network_of(state: TrainState, network: Network) -> nn.Module:
    return state.networks.of(network)


def held(state: TrainState, network: Network) -> dict[str, Any]:
    """All that a step may change of a network: weights, vectors of power iterations, state of the optimizer."""
    moments = torch.utils._pytree.tree_map(
        lambda x: x.clone() if isinstance(x, Tensor) else x, optim.adam_state(state.optimizers.of(network))["params"]
    )
    return {**cloned(network_of(state, network)), "moments": moments}


def cloned(module: nn.Module) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a: Any, b: Any) -> bool:
    """Whether nested data are equal, tensors bit for bit."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def everything(state: TrainState) -> dict[str, Any]:
    """All that a run has learnt; not the scales and counts."""
    parts = {network: held(state, network) for network in PLACES[2]}
    return {**parts, "average": cloned(state.generator_ema), "step": state.step, "updates": state.updates}


class GradientFault:
    """Spoils an element of a gradient before it is looked at, in the attempts of the given numbers, from 0."""

    def __init__(
        self, patch: pytest.MonkeyPatch, network: Network, attempts: Sequence[int] | range, *, bad: float, seed: int = 0
    ) -> None:
        self.attempts, self.bad, self.random = attempts, bad, random.Random(seed)
        self.network: Network = network
        self.count = 0
        self.spoilt: list[str] = []
        self.original = updates.check_gradients
        patch.setattr(updates, "check_gradients", self)

    def __call__(self, state: TrainState, network: Network, *arguments: Any) -> optim.GradientReport:
        if network != self.network:
            return self.original(state, network, *arguments)
        if self.count in self.attempts:
            parameters = network_of(state, self.network).named_parameters()
            found = [(name, p.grad) for name, p in parameters if p.grad is not None]
            name, gradient = self.random.choice(found)
            gradient[np.unravel_index(self.random.randrange(gradient.numel()), gradient.shape)] = self.bad
            self.spoilt.append(f"{self.network}.{name}")
        self.count += 1
        return self.original(state, network, *arguments)


def spoil_loss(patch: pytest.MonkeyPatch, network: Network, call: int, bad: float) -> None:
    """Add `bad` to the network's loss `gan` when it is computed for the `call`-th time, from 0."""
    original, calls = getattr(nets, f"{network}_losses"), iter(range(10**6))

    def losses(*arguments: Any, **options: Any) -> nets.Losses:
        found = original(*arguments, **options)
        if next(calls) != call:
            return found
        return {**found, "gan": attrs.evolve(found["gan"], value=found["gan"].value + bad)}

    patch.setattr(nets, f"{network}_losses", losses)


def spoil_weight(patch: pytest.MonkeyPatch, network: Network, attempt: int, bad: float) -> None:
    """Overwrite a channel of the network's first weight before the `attempt`-th attempt at a frame, from 0.

    A whole channel: the weights of a class that is not in the picture are not read.
    """
    original, calls = step_module.update_frame, iter(range(10**6))

    def update_frame(state: TrainState, *arguments: Any) -> Any:
        if next(calls) == attempt:
            with torch.no_grad():
                next(network_of(state, network).parameters())[0] = bad
        return original(state, *arguments)

    patch.setattr(step_module, "update_frame", update_frame)


def train_single_frames(state: TrainState, recipe: Recipe, steps: int) -> TrainState:
    for _ in range(steps):
        state, _ = train_clip(state, street_clip(1), recipe)
    return state


def counts(state: TrainState) -> tuple[float, float, int, int, int]:
    d, g = state.scaling.scales.discriminator, state.scaling.scales.generator
    return d.scale, g.scale, d.skipped_total, g.skipped_total, state.scaling.replays_total


@attrs.define
class Watch:
    """Progress that remembers."""

    figures: list[str] = attrs.field(factory=list)
    messages: list[str] = attrs.field(factory=list)

    def update(self, done: int, total: int | None = None, *, what: str = "", figures: str = "") -> None:
        self.figures.append(f"{what} {done}/{total} · {figures}")

    def message(self, text: str) -> None:
        self.messages.append(text)


RUN: dict[str, Any] = {
    "data": {"train_sequences": 4, "val_sequences": 1},
    "curriculum": {"single_frame_steps": 3, "initial_length": 2, "max_length": 2},
    "run": {
        "steps": 8,
        "checkpoint_every": 2,
        "keep_checkpoints": 9,
        "sample_every": 8,
        "sample_frames": 1,
        "underflow_every": 3,
        "affinity": {"policy": "none"},
    },
}


def run_config(**changes: Any) -> TrainConfig:
    return load_config(TrainConfig, merged(merged(DOCUMENT, RUN), changes))


def run(config: TrainConfig, folder: Path, *, resume: bool = False) -> tuple[TrainResult, Watch]:
    watch = Watch()
    result = train(config, RunDirectory(folder), resume=resume, progress=watch, stop=StopRequest())
    return result, watch


def lines(folder: Path) -> list[dict[str, Any]]:
    return [dict(without_clock(json.loads(line))) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def final(folder: Path, step: int = 8) -> Any:
    """All that a checkpoint holds but the configuration, which some tests vary."""
    state = runtime.load_checkpoint(folder / "checkpoints" / f"step-{step:08d}").state
    return {key: value for key, value in state.items() if key != FIXED}
