"""From a run directory or a preset to a step that can be audited; all input is checked before anything is computed."""

import datetime
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
import vs_nets as nets
from vs_config import option_path, read_toml, repeated, resolve_config
from vs_data import Clip, ClipSource, collate, move, open_source
from vs_runtime import LoadedCheckpoint, choose_device, describe_environment
from vs_runtime.run_directory import latest_run, open_run, read_run_config
from vs_training.config import TrainConfig, label_spec
from vs_training.memory import check_memory
from vs_training.networks import build_discriminator
from vs_training.presets import read_preset
from vs_training.validation import read_validation_clip

from vs_eval.errors import OptionError, RunError
from vs_eval.numerics.execution import Workload
from vs_eval.numerics.ranges import FORMATS, Format
from vs_eval.numerics.training_step import DISCRIMINATOR, GENERATOR, PERCEPTUAL, frames_of, training_step
from vs_eval.opening import notices_on, say_warning
from vs_eval.output import check_output
from vs_eval.runs import load_weights, read_checkpoint, require_same, saved_state

MARKER = "numerics.json"
"""The file that makes a directory the result of an audit, which a new one may replace."""

SMALL = 2**15
"""Largest number of pixels of a frame for which the reference is float64 unless asked for otherwise: 128x256."""


@attrs.frozen(kw_only=True)
class NumericsRequest:
    """A request of the command line for an audit.

    Attributes:
        target: a run directory, unless there is a preset; and changes to the configuration, `dotted.path=value`.
        reference: dtype of the reference; `auto`: float64, or float32 where frames are large.
        frames: of the clip; None: as many as the generator looks at.
    """

    target: tuple[str, ...]
    preset: str | None
    out: Path | None
    checkpoint: int | None
    device: Literal["auto", "cpu", "cuda"]
    dtype: Literal["float16", "bfloat16"]
    reference: Literal["auto", "float64", "float32"]
    loss_scale: float | None
    frames: int | None


@attrs.frozen(kw_only=True, eq=False)
class OpenedAudit:
    """A step that can be audited, and what the report says of it.

    Attributes:
        title: in a few words.
        scales: network -> loss scale of its update, where it is given; None: it is to be found.
        start_scale: where a scaler would begin.
        facts: for the JSON.
        notices: what goes otherwise than one would expect.
    """

    title: str
    workload: Workload
    form: Format
    reference: torch.dtype
    scales: Mapping[str, float] | None
    start_scale: float
    out: Path
    facts: Mapping[str, Any]
    notices: tuple[str, ...]


@attrs.frozen(kw_only=True, eq=False)
class _Target:
    """A configuration, and weights unless they are to be fresh."""

    name: str
    config: TrainConfig
    checkpoint: LoadedCheckpoint | None
    out: Path


def open_audit(request: NumericsRequest, *, now: datetime.datetime) -> OpenedAudit:
    """Find and check everything that an audit needs; nothing is written.

    Raises:
        OptionError, RunError, PlaceError: what is asked for cannot be; and whatever reading configurations, runs,
            checkpoints and data raises.
    """
    # What is cheap to find wrong comes before what takes memory and time.
    device, form = choose_device(request.device), FORMATS[request.dtype]
    target = _find(request, form, now)
    check_output(target.out, MARKER)
    source = open_source(target.config.data, "val")
    clip = _read_clip(target.config, source, request.frames)
    labels = label_spec(target.config.labels, source)
    check_memory(target.config, labels, device)
    # The step: the networks as training has them, on frames whose past no precision changes.
    generator, discriminator, perceptual = _networks(target, labels)
    found = {GENERATOR: generator, DISCRIMINATOR: discriminator, PERCEPTUAL: perceptual}
    networks = {name: network.to(device) for name, network in found.items() if network is not None}
    frames = frames_of(move(collate([clip]), device), labels, generator, discriminator)
    # float64 takes several times as long: not for large frames, unless asked for.
    small = clip.frames.shape[-2] * clip.frames.shape[-1] <= SMALL
    reference = request.reference if request.reference != "auto" else ("float64" if small else "float32")
    return OpenedAudit(
        title=f"{target.name}, {form.name} beside {reference}",
        workload=Workload(networks=networks, step=training_step(frames, target.config.objective), device=device),
        form=form,
        reference=torch.float64 if reference == "float64" else torch.float32,
        scales=_scales(request, target, form),
        start_scale=target.config.optim.scaler.init_scale,
        out=target.out,
        facts=_facts(request, target, clip, device),
        notices=notices_on(target.config, target.checkpoint, "an older checkpoint"),
    )


def _find(request: NumericsRequest, form: Format, now: datetime.datetime) -> _Target:
    overrides = [text for text in request.target if "=" in text]
    runs = [text for text in request.target if "=" not in text]
    if len(runs) > 1 or (runs and request.preset is not None):
        what = "a run or a --preset" if request.preset is not None else "a single run"
        raise OptionError("RUN", f"{runs[-1]!r}: expected {what}, and changes to the configuration as path=value")
    for notice in repeated(overrides):
        say_warning(notice)
    if request.preset is not None:
        if request.checkpoint is not None:
            raise OptionError("--checkpoint", "a preset has none; name a run, or leave it out for fresh weights")
        config = resolve_config(TrainConfig, read_preset(request.preset).document, overrides, request.preset)
        out = request.out or _unused(Path("runs") / f"numerics-{request.preset}-{now:%Y%m%d-%H%M%S}")
        return _Target(name=f"preset {request.preset}, fresh weights", config=config, checkpoint=None, out=out)
    run = open_run(_run_path(runs[0])) if runs else latest_run(notice=say_warning)
    config = resolve_config(TrainConfig, read_toml(run.config), overrides, str(run.config))
    checkpoint = read_checkpoint(run, request.checkpoint)
    require_same(run, checkpoint, read_run_config(run, TrainConfig))
    out = request.out or run.path / "eval" / f"numerics-step-{checkpoint.step:08d}-{form.name}"
    return _Target(name=f"{run.path}, step {checkpoint.step}", config=config, checkpoint=checkpoint, out=out)


def _run_path(text: str) -> Path:
    try:
        return option_path(text)
    except ValueError as error:
        raise OptionError("RUN", str(error)) from None


def _unused(path: Path) -> Path:
    tried, count = path, 1
    while tried.exists():
        count += 1
        tried = path.with_name(f"{path.name}-{count}")
    return tried


def _read_clip(config: TrainConfig, source: ClipSource, frames: int | None) -> Clip:
    """Read the clip that training looks at, with as many references as the run trains with at most."""
    there = max(info.frames for info in source.sequences)
    if frames is not None and frames > there:
        raise OptionError("--frames", f"{frames} asked for, but the longest held-out sequence has {there}")
    references = 0 if config.references is None else min(config.references.max, there - 1)
    return read_validation_clip(source, frames=frames or config.generator.frames, references=references)


def _networks(
    target: _Target, labels: nets.LabelSpec
) -> tuple[nets.AnyGenerator, nets.Discriminator, nets.Perceptual | None]:
    """Build generator, discriminator and perceptual network for training, with a checkpoint's weights or fresh ones."""
    config = target.config
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        generator = nets.build_generator(config.generator, label_channels=labels.channels)
        discriminator = build_discriminator(config, labels)
    perceptual = nets.build_perceptual(config.objective.perceptual)
    if target.checkpoint is not None:
        load_weights(generator, GENERATOR, target.checkpoint)
        load_weights(discriminator, DISCRIMINATOR, target.checkpoint)
    return generator, discriminator, perceptual


def _scales(request: NumericsRequest, target: _Target, form: Format) -> dict[str, float] | None:
    """Return the loss scales that are asked for, or those of the run's scalers where they were on."""
    if request.loss_scale is not None:
        return dict.fromkeys((GENERATOR, DISCRIMINATOR), request.loss_scale)
    if target.checkpoint is None or form.name != "float16":
        return None
    match saved_state(target.checkpoint).get("scaling"):
        case {"generator": {"scale": generator}, "discriminator": {"scale": discriminator}}:
            scales = {GENERATOR: generator, DISCRIMINATOR: discriminator}
        case _:
            return None
    for name, scale in scales.items():
        if type(scale) is not float or not 0 < scale < math.inf:
            raise RunError(target.checkpoint.path, f"is damaged: the {name}'s loss scale is {str(scale)[:30]}")
    return scales if any(scale != 1.0 for scale in scales.values()) else None


def _facts(request: NumericsRequest, target: _Target, clip: Clip, device: torch.device) -> dict[str, Any]:
    checkpoint = target.checkpoint
    return {
        "target": target.name,
        "overrides": [text for text in request.target if "=" in text],
        "checkpoint": None if checkpoint is None else {"path": str(checkpoint.path), "step": checkpoint.step},
        "data": target.config.data.kind,
        "clip": {
            "name": clip.name,
            "frames": clip.frames.shape[0],
            "height": clip.frames.shape[-2],
            "width": clip.frames.shape[-1],
            "references": 0 if clip.references is None else clip.references.frames.shape[0],
        },
        "device": str(device),
        "environment": describe_environment(),
    }
