"""One training step: a clip, frame by frame; for each frame an update of D, then of G, then of the average of G."""

import functools
import math
from collections.abc import Sequence

import attrs
import torch
import vs_nets as nets
import vs_ops
import vs_optim as optim
from torch import Tensor
from vs_data import Clip, References

from vs_training.divergence import bad_weight
from vs_training.errors import NonFiniteError
from vs_training.retry import settle
from vs_training.state import FrameInputs, FrameReport
from vs_training.state import Recipe as Recipe
from vs_training.state import StepReport as StepReport
from vs_training.state import TrainState as TrainState
from vs_training.update import attempt_flow, attempt_frame
from vs_training.update import frozen_parameters as frozen_parameters


def train_clip(state: TrainState, clip: Clip, recipe: Recipe) -> tuple[TrainState, StepReport]:
    """Train on one batch of clips (N, T, ...), which must be on `recipe.device`.

    The first `recipe.flow_steps` steps train the flow network of a few-shot generator alone, see `train_flow`.

    Raises:
        VsNetsError: the generator needs references, and the clip has none.
        NonFiniteError: training has diverged; it names what is not finite, the frame and the clip.
    """
    if state.step < recipe.flow_steps:
        return train_flow(state, clip, recipe)
    reports: list[FrameReport] = []
    history = nets.History()
    real_past: tuple[Tensor, ...] = ()
    fake_past: tuple[Tensor, ...] = ()
    past = state.generator.config.frames - 1
    memory = nets.temporal_memory(state.discriminator.config.temporal)
    references = encode_references(clip, recipe)
    for t in range(clip.frames.shape[1]):
        inputs = FrameInputs(
            label=encode_frame(clip, t, recipe),
            target=_target(clip, t, recipe),
            history=history,
            references=references,
            real_past=real_past,
            fake_past=fake_past,
            clip=clip.name,
            frame=t,
        )
        state, report, fake = train_frame(state, inputs, recipe)
        reports.append(report)
        history = nets.remember(history, inputs.label, fake, past)
        if memory:
            real_past = (*real_past, inputs.target.frame)[-memory:]
            fake_past = (*fake_past, fake)[-memory:]
    return attrs.evolve(state, step=state.step + 1), _report(state, reports, clip)


def train_frame(state: TrainState, inputs: FrameInputs, recipe: Recipe) -> tuple[TrainState, FrameReport, Tensor]:
    """Generate a frame, update D, update G, update the average; also returns the frame, detached.

    The frame is that of the attempt that counted. The average moves only where the generator did.

    Raises:
        NonFiniteError: training has diverged.
    """
    attempt = functools.partial(attempt_frame, inputs=inputs, recipe=recipe)
    state, report, tried = settle(state, inputs, recipe, attempt)
    return _done(state, report, recipe), report, tried.frame


def train_flow(state: TrainState, clip: Clip, recipe: Recipe) -> tuple[TrainState, StepReport]:
    """Train nothing but the flow network of a few-shot generator: each frame is warped from every reference.

    To find out how far apart two poses are takes a flow network hundreds of updates in which nothing seems to happen.
    They cost a third without the other networks, and those need not get used to references warped wrongly.

    Raises:
        VsTrainingError: the generator is no few-shot one, or the clip has no references.
        NonFiniteError: training has diverged.
    """
    references = encode_references(clip, recipe)
    reports = []
    for t in range(clip.frames.shape[1]):
        inputs = FrameInputs(
            label=encode_frame(clip, t, recipe),
            target=_target(clip, t, recipe),
            history=nets.History(),
            references=references,
            clip=clip.name,
            frame=t,
        )
        attempt = functools.partial(attempt_flow, inputs=inputs, recipe=recipe)
        state, report, _ = settle(state, inputs, recipe, attempt, both=False)
        state = _done(state, report, recipe)
        reports.append(report)
    return attrs.evolve(state, step=state.step + 1), _report(state, reports, clip)


def _done(state: TrainState, report: FrameReport, recipe: Recipe) -> TrainState:
    """The state after a frame, its average moved if the generator was."""
    if report.decision.generator:
        update_ema(state, recipe.ema)
    return attrs.evolve(state, updates=state.updates + 1)


def update_ema(state: TrainState, config: optim.EmaConfig) -> None:
    """Move the average towards the generator's weights as it uses them, that is, spectrally normalised."""
    taken = state.updates - state.scaling.generator.skipped_total  # an average counts what it has seen
    values, scales = dict(state.generator.named_parameters()), nets.weight_scales(state.generator)
    averages = dict(state.generator_ema.named_parameters())
    share = optim.ema_share(config, step=taken)
    normalised = [name for name in averages if name in scales]
    plain = [name for name in averages if name not in scales]
    vs_ops.ema(
        [averages[name] for name in normalised],
        [values[name] for name in normalised],
        share=share,
        scales=[scales[name] for name in normalised],
    )
    vs_ops.ema([averages[name] for name in plain], [values[name] for name in plain], share=share)


def encode_frame(clip: Clip, t: int, recipe: Recipe) -> nets.Label:
    """Encoded label (N, C, H, W) of frame t of a batch; without references class ids may stay what they are."""
    labels = {name: x[:, t] for name, x in clip.labels.items()}
    label = (nets.keep_class_ids if clip.references is None else nets.encode_labels)(recipe.labels, labels)
    return _laid_out(label, recipe) if isinstance(label, Tensor) else label


def encode_references(clip: Clip, recipe: Recipe) -> nets.References | None:
    """References of a batch (N, K, ...) with encoded labels, or None when it has none."""
    if clip.references is None:
        return None
    frames = clip.references.frames
    flat = {name: x.flatten(0, 1) for name, x in clip.references.labels.items()}
    labels = _laid_out(nets.encode_labels(recipe.labels, flat), recipe)  # (N * K, C, H, W)
    return nets.References(
        frames=_laid_out(frames.flatten(0, 1), recipe).unflatten(0, frames.shape[:2]),
        labels=labels.unflatten(0, frames.shape[:2]),
    )


def _target(clip: Clip, t: int, recipe: Recipe) -> nets.Target:
    taught = t > 0 and clip.flow is not None and clip.flow_confidence is not None
    to_references = (None, None) if clip.references is None else _flow_to_references(clip.references, t)
    return nets.Target(
        frame=_laid_out(clip.frames[:, t], recipe),
        flow=clip.flow[:, t] if taught and clip.flow is not None else None,
        flow_confidence=clip.flow_confidence[:, t] if taught and clip.flow_confidence is not None else None,
        reference_flow=to_references[0],
        reference_confidence=to_references[1],
    )


def _flow_to_references(references: References, t: int) -> tuple[Tensor | None, Tensor | None]:
    """The teacher's flow from frame t to each reference (N, K, 2, H, W), and the confidence in it."""
    if references.flow is None or references.flow_confidence is None:
        return None, None
    return references.flow[:, t], references.flow_confidence[:, t]


def _laid_out(x: Tensor, recipe: Recipe) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last if recipe.channels_last else torch.contiguous_format)


def _report(state: TrainState, reports: Sequence[FrameReport], clip: Clip) -> StepReport:
    """Means over the frames; everything is fetched in one wait for the device, and looked at if nobody has yet.

    Raises:
        NonFiniteError: a loss or a gradient is not finite, found here where the frames were not waited for.
    """
    keys = [(t, name) for t, report in enumerate(reports) for name in _measured(report)]
    found = [_measured(report) for report in reports]
    values = torch.stack([found[t][name].to(torch.float32) for t, name in keys]).tolist()
    sums: dict[str, list[float]] = {}
    for (t, name), value in zip(keys, values, strict=True):
        if not math.isfinite(value):
            raise _late_divergence(state, name, t, clip)
        sums.setdefault(name, []).append(value)
    means = {name: sum(xs) / len(xs) for name, xs in sorted(sums.items())}
    return StepReport(
        losses={name: mean for name, mean in means.items() if name.startswith(("d_", "g_"))},
        frames=len(reports),
        gradient_norms=_under("norm ", means),
        underflow=_under("underflow ", means),
        generator_scale=state.scaling.generator.scale,
        discriminator_scale=state.scaling.discriminator.scale,
        generator_skipped=state.scaling.generator.skipped_total,
        discriminator_skipped=state.scaling.discriminator.skipped_total,
        replays=state.scaling.replays_total,
    )


def _measured(report: FrameReport) -> dict[str, Tensor]:
    """Losses by name; `norm NETWORK` of gradients without overflow; `underflow NETWORK` where it was measured."""
    found = dict(report.losses)
    for network, gradients in (("generator", report.generator), ("discriminator", report.discriminator)):
        if gradients is not None and gradients.finding != "overflow":
            found[f"norm {network}"] = gradients.norm
        if gradients is not None and gradients.underflow is not None:
            found[f"underflow {network}"] = gradients.underflow
    return found


def _under(prefix: str, means: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix(prefix): mean for name, mean in means.items() if name.startswith(prefix)}


def _late_divergence(state: TrainState, name: str, t: int, clip: Clip) -> NonFiniteError:
    """The error of a value that was looked at when its clip had ended: steps with it have been taken by then."""
    network: optim.Network = "discriminator" if name == "norm discriminator" or name.startswith("d_") else "generator"
    what = "the gradient" if name.startswith("norm ") else f"loss {name[2:]}"
    layer = bad_weight(state)
    return NonFiniteError(step=state.step, what=what, network=network, layer=layer, frame=t, clip=clip.name)
