"""From a run, a model or a preset to a step that can be audited; all input is checked before anything is computed."""

import datetime
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
import vs_nets as nets
from vs_config import option_path, repeated, resolve_config, to_document
from vs_data import Clip, ClipSource, collate, move, open_source
from vs_runtime import choose_device, describe_environment
from vs_synthesis import ModelContents, ModelError, TrainingWeights, Which, find_run
from vs_synthesis.contents import fill
from vs_training.config import TrainConfig, label_spec
from vs_training.memory import check_memory
from vs_training.networks import build_discriminator
from vs_training.presets import read_preset
from vs_training.validation import read_validation_clip

from vs_eval.errors import OptionError
from vs_eval.numerics.execution import Workload
from vs_eval.numerics.ranges import FORMATS, Format
from vs_eval.numerics.training_step import DISCRIMINATOR, GENERATOR, PERCEPTUAL, frames_of, training_step
from vs_eval.opening import Trained, open_trained, say_warning
from vs_eval.output import check_output, checkpoint_name, results_of

MARKER = "numerics.json"
"""The file that makes a directory the result of an audit, which a new one may replace."""

SMALL = 2**15
"""Largest number of pixels of a frame for which the reference is float64 unless asked for otherwise: 128x256."""


@attrs.frozen(kw_only=True)
class NumericsRequest:
    """A request of the command line for an audit.

    Attributes:
        target: a run or model directory, unless there is a preset; and changes to the configuration,
            `dotted.path=value`.
        reference: dtype of the reference; `auto`: float64, or float32 where frames are large.
        frames: of the clip; None: as many as the generator looks at.
        data: folder of held-out sequences; None: those of the training.
    """

    target: tuple[str, ...]
    preset: str | None
    out: Path | None
    checkpoint: Which
    device: Literal["auto", "cpu", "cuda"]
    dtype: Literal["float16", "bfloat16"]
    reference: Literal["auto", "float64", "float32"]
    loss_scale: float | None
    frames: int | None
    data: Path | None = None


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
    """A configuration, and what was trained unless weights are to be fresh."""

    name: str
    config: TrainConfig
    trained: Trained | None
    out: Path


def open_audit(request: NumericsRequest, *, now: datetime.datetime) -> OpenedAudit:
    """Find and check everything that an audit needs; nothing is written.

    Raises:
        OptionError, ModelError, PlaceError: what is asked for cannot be; and whatever reading configurations, runs,
            models and data raises.
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
        notices=() if target.trained is None else target.trained.notices,
    )


def _find(request: NumericsRequest, form: Format, now: datetime.datetime) -> _Target:
    overrides = [text for text in request.target if "=" in text]
    runs = [text for text in request.target if "=" not in text]
    if len(runs) > 1 or (runs and request.preset is not None):
        what = "a run, a model or a --preset" if request.preset is not None else "a single run or model"
        raise OptionError("RUN", f"{runs[-1]!r}: expected {what}, and changes to the configuration as path=value")
    for notice in repeated(overrides):
        say_warning(notice)
    if request.preset is not None:
        if request.checkpoint is not None:
            raise OptionError("--checkpoint", "a preset has none; name a run, or leave it out for fresh weights")
        config = resolve_config(TrainConfig, read_preset(request.preset).document, overrides, request.preset)
        if request.data is not None:
            raise OptionError("--data", "a preset has its own; change it by data.PATH=value")
        out = request.out or _unused(Path("runs") / f"numerics-{request.preset}-{now:%Y%m%d-%H%M%S}")
        return _Target(name=f"preset {request.preset}, fresh weights", config=config, trained=None, out=out)
    path = _run_path(runs[0]) if runs else find_run(say_warning).path
    return _find_trained(request, path, overrides, form)


def _find_trained(request: NumericsRequest, path: Path, overrides: list[str], form: Format) -> _Target:
    trained = open_trained(path, checkpoint=request.checkpoint, data=request.data, training=True)
    if trained.config is None:
        raise ModelError(path, "does not say how it was trained, so that no step of that can be audited")
    if trained.contents.training is None:
        raise ModelError(path, "has no training.safetensors, which an audit needs; package it again with --training")
    config = resolve_config(TrainConfig, to_document(trained.config), overrides, str(path))
    out = request.out or results_of(trained.contents, "eval") / f"{_report_name(trained.contents)}-{form.name}"
    return _Target(name=trained.title, config=config, trained=trained, out=out)


def _report_name(contents: ModelContents) -> str:
    return "numerics" if contents.checkpoint is None else f"numerics-{checkpoint_name(contents)}"


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
    match target.trained:
        case Trained(contents=ModelContents(path=path, training=TrainingWeights() as weights)):
            fill(generator, weights.generator, path)
            fill(discriminator, weights.discriminator, path)
    return generator, discriminator, perceptual


def _scales(request: NumericsRequest, target: _Target, form: Format) -> dict[str, float] | None:
    """Return the loss scales that are asked for, or those of the run's scalers where they were on."""
    if request.loss_scale is not None:
        return dict.fromkeys((GENERATOR, DISCRIMINATOR), request.loss_scale)
    if target.trained is None or form.name != "float16":
        return None
    contents = target.trained.contents
    match contents.provenance.get("loss_scales"):
        case {"generator": generator, "discriminator": discriminator}:
            scales = {GENERATOR: generator, DISCRIMINATOR: discriminator}
        case _:
            return None
    for name, scale in scales.items():
        if type(scale) is not float or not 0 < scale < math.inf:
            where = contents.checkpoint or contents.path
            raise ModelError(where, f"is damaged: the {name}'s loss scale is {str(scale)[:30]}")
    return scales


def _facts(request: NumericsRequest, target: _Target, clip: Clip, device: torch.device) -> dict[str, Any]:
    return {
        "target": target.name,
        "overrides": [text for text in request.target if "=" in text],
        "checkpoint": _checkpoint(target.trained),
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


def _checkpoint(trained: Trained | None) -> dict[str, Any] | None:
    if trained is None or trained.contents.checkpoint is None:
        return None
    return {"path": str(trained.contents.checkpoint), "step": trained.step}
