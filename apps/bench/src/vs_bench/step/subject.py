"""Whose step is measured: a baseline or a preset, at its levels of precision, and which of a run's steps."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import torch
import vs_optim as optim
from vs_config import resolve_config
from vs_training.config import TrainConfig
from vs_training.curriculum import stages
from vs_training.presets import read_preset

from vs_bench.errors import VsBenchError

Baseline = Literal["street", "face"]
Level = Literal["O0", "O1"]
STREET: dict[str, Any] = {
    "data": {"kind": "street", "height": 128, "width": 256},
    "generator": {
        "filters": 8,
        "max_filters": 128,
        "embedder": {"filters": 8, "max_filters": 128},
        "flow": {"filters": 8, "max_filters": 128},
        "combination": {"kind": "spade", "embedder": {"arch": "unet", "filters": 8, "max_filters": 128}},
    },
    "discriminator": {"image": {"filters": 8, "max_filters": 128}},
    "objective": {"perceptual": {"kind": "random", "width_divisor": 1, "scales": 1}},
}
FACE: dict[str, Any] = {
    "data": {"kind": "faces", "height": 128, "width": 128},
    "references": {"min": 1, "max": 1},
    "loader": {"batch_size": 1},
    "generator": {"kind": "few-shot"},
    "discriminator": {"image": {"filters": 64, "max_filters": 512, "layers": 3, "scales": 2, "spectral_norm": True}},
    "objective": {"perceptual": {"kind": "random", "width_divisor": 1, "scales": 3}},
}
BASELINES: Mapping[Baseline, dict[str, Any]] = {"street": STREET, "face": FACE}
PRECISIONS: Mapping[Level, optim.PrecisionConfig] = {
    "O0": optim.PrecisionConfig(level="O0"),
    "O1": optim.PrecisionConfig(level="O1"),
}

FRAMES = 4
"""Of the clip of a step that documents speak of."""


@attrs.frozen(kw_only=True)
class How:
    """Circumstances of a measurement: at which levels of precision, in how many rounds, where."""

    levels: tuple[Level, ...]
    rounds: int
    threads: int
    device: torch.device


@attrs.frozen(kw_only=True)
class Subject:
    """Whose step is measured: its configuration, what people call it, and its part of a file's name."""

    document: Mapping[str, Any]
    title: str
    name: str


def subject_of(baseline: Baseline, preset: str | None) -> Subject:
    """Return a preset, or else a baseline.

    Raises:
        PresetError: there is no preset of that name.
    """
    if preset is not None:
        return Subject(document=read_preset(preset).document, title=preset, name=preset)
    return Subject(
        document=BASELINES[baseline],
        title=f"the {baseline} baseline",
        name="" if baseline == "street" else baseline,
    )


def config_of(subject: Subject, overrides: Sequence[str]) -> TrainConfig:
    """Return the configuration of a subject with something else in it.

    Raises:
        VsBenchError: it says of no number of clips that the step is made on.
    """
    config = resolve_config(TrainConfig, subject.document, overrides, subject.title)
    if config.loader.batch_size == "auto":
        raise VsBenchError(
            "loader.batch_size: expected a number of clips, on which the step is measured, got 'auto'; "
            "`hatch run train:plan` says how many fit"
        )
    return config


@attrs.frozen(kw_only=True)
class Stage:
    """Training steps of a run that take equally long.

    Attributes:
        first: the first of them, counted from 0.
        steps: how many there are.
        frames: that each is made on.
        flow_alone: whether they train the flow network alone.
    """

    first: int
    steps: int
    frames: int
    flow_alone: bool = False

    @property
    def title(self) -> str:
        """What such a step is called."""
        length = f"{self.frames} frame{'s' * (self.frames > 1)}"
        return f"{length}, flow alone" if self.flow_alone else length


def one_stage(config: TrainConfig, frames: int) -> Stage:
    """Return the step on so many frames that trains all networks. Pure."""
    return Stage(first=config.curriculum.flow_steps, steps=1, frames=frames)


def stages_of(config: TrainConfig) -> tuple[Stage, ...]:
    """Return the stages of a run's curriculum, in their order. Pure."""
    return tuple(
        Stage(first=stage.start, steps=stage.stop - stage.start, frames=stage.length, flow_alone=stage.flow_alone)
        for stage in stages(config.curriculum, config.run.steps)
    )
