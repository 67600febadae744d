"""One training step: a clip, frame by frame; for each frame an update of D, then of G, then of the average of G."""

import functools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs
import torch
import vs_nets as nets
import vs_ops
import vs_optim as optim
from torch import Tensor, nn
from vs_data import Clip, References
from vs_nets.synthesis import GenerateFrame

from vs_train.errors import NonFiniteError, VsTrainError

AnyGenerator = nets.Generator | nets.FewShotGenerator


@attrs.frozen(kw_only=True, eq=False)
class TrainState:
    """Everything that a step changes. Modules, optimizers and scalers are changed in place; the counters by evolving.

    Attributes:
        generator: in training mode.
        discriminator: in training mode.
        average: the generator of averaged, already normalised weights, in evaluation mode.
        generator_optimizer: steps `generator`.
        discriminator_optimizer: steps `discriminator`.
        generator_scaler: loss scale of the generator.
        discriminator_scaler: loss scale of the discriminator.
        step: clips trained on so far.
        updates: updates of the generator so far, one a frame, skipped ones included.
    """

    generator: AnyGenerator
    discriminator: nets.Discriminator
    average: AnyGenerator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    generator_scaler: optim.LossScaler
    discriminator_scaler: optim.LossScaler
    step: int = 0
    updates: int = 0


@attrs.frozen(kw_only=True, eq=False)
class Recipe:
    """What a step needs and never changes."""

    labels: nets.LabelSpec
    objective: nets.ObjectiveConfig
    perceptual: nets.Perceptual | None
    precision: optim.Precision
    ema: optim.EmaConfig
    device: torch.device
    channels_last: bool = True
    overflow_policy: optim.OverflowPolicy = "independent"
    flow_steps: int = 0


@attrs.frozen(kw_only=True)
class StepReport:
    """What a step did: means over the frames that had the loss, counts over all frames of the clip."""

    losses: Mapping[str, float]
    frames: int
    generator_scale: float
    discriminator_scale: float
    generator_skipped: int
    discriminator_skipped: int


@attrs.frozen(kw_only=True, eq=False)
class FrameInputs:
    """One frame of a batch on the device, and its past: real frames and generated ones, oldest first.

    `references` are there for few-shot generators. `clip` and `frame` are for messages: the name of the clip and the
    frame's index within it.
    """

    label: nets.Label
    target: nets.Target
    history: nets.History
    references: nets.References | None = None
    real_past: tuple[Tensor, ...] = ()
    fake_past: tuple[Tensor, ...] = ()
    clip: str = ""
    frame: int = 0


@attrs.frozen(kw_only=True, eq=False)
class FrameReport:
    """Losses of one frame as tensors (`d_`: of the discriminator, `g_`: of the generator) and what the scalers did."""

    losses: Mapping[str, Tensor]
    generator: optim.ScalerReport
    discriminator: optim.ScalerReport


def train_clip(state: TrainState, clip: Clip, recipe: Recipe) -> tuple[TrainState, StepReport]:
    """Train on one batch of clips (N, T, ...), which must be on `recipe.device`.

    The first `recipe.flow_steps` steps train the flow network of a few-shot generator alone, see `train_flow`.

    Raises:
        VsTrainError: the generator needs references, and the clip has none.
        NonFiniteError: a loss is not finite; it names the loss, the frame and the clip.
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
    """Generate a frame, update D, update G, update the average; also returns the frame, detached."""
    with optim.autocast(recipe.precision, recipe.device):
        synthesis = bind_references(state.generator, inputs.references)(inputs.label, inputs.history)
    condition = nets.judged_condition(inputs.label, inputs.references, synthesis)
    real = nets.judged(condition, inputs.target.frame, inputs.real_past, state.discriminator.config)
    d_losses, d_report = update_discriminator(state, real, _detached(synthesis), inputs, recipe)
    decision = optim.resolve_overflow(
        generator_overflowed=False, discriminator_overflowed=d_report.overflowed, policy=recipe.overflow_policy
    )
    g_losses, g_report = update_generator(state, real, synthesis, inputs, recipe, may_step=decision.generator)
    update_average(state, recipe.ema)
    losses = {f"d_{k}": v.detach() for k, v in d_losses.items()} | {f"g_{k}": v.detach() for k, v in g_losses.items()}
    report = FrameReport(losses=losses, generator=g_report, discriminator=d_report)
    return attrs.evolve(state, updates=state.updates + 1), report, synthesis.frame.detach()


def train_flow(state: TrainState, clip: Clip, recipe: Recipe) -> tuple[TrainState, StepReport]:
    """Train nothing but the flow network of a few-shot generator: each frame is warped from every reference.

    To find out how far apart two poses are takes a flow network hundreds of updates in which nothing seems to happen.
    They cost a third without the other networks, and those need not get used to references warped wrongly.

    Raises:
        VsTrainError: the generator is no few-shot one, or the clip has no references.
        NonFiniteError: a loss is not finite; it names the loss, the frame and the clip.
    """
    generator, references = state.generator, encode_references(clip, recipe)
    if not isinstance(generator, nets.FewShotGenerator) or references is None:
        raise VsTrainError("only a few-shot generator, on clips with references, can train its flow network alone")
    reports = []
    for t in range(clip.frames.shape[1]):
        target = _target(clip, t, recipe)
        inputs = FrameInputs(
            label=encode_frame(clip, t, recipe), target=target, history=nets.History(), clip=clip.name, frame=t
        )
        with optim.autocast(recipe.precision, recipe.device):
            warp = generator.warp_references(inputs.label, references)
            losses = nets.warp_losses(
                warp,
                target.frame.repeat_interleave(references.count, 0),
                None if target.reference_flow is None else target.reference_flow.flatten(0, 1),
                None if target.reference_confidence is None else target.reference_confidence.flatten(0, 1),
            )
        scaled = _step_generator(state, losses, inputs, recipe)
        update_average(state, recipe.ema)
        named = {f"g_{name}": loss.detach() for name, loss in losses.items()}
        reports.append(FrameReport(losses=named, generator=scaled, discriminator=state.discriminator_scaler.rest()))
        state = attrs.evolve(state, updates=state.updates + 1)
    return attrs.evolve(state, step=state.step + 1), _report(state, reports, clip)


def bind_references(generator: AnyGenerator, references: nets.References | None) -> GenerateFrame:
    """The generator as a function of label and history alone; a few-shot one encodes its references for that once.

    Raises:
        VsTrainError: a few-shot generator has no references.
    """
    if isinstance(generator, nets.Generator):
        return generator
    if references is None:
        raise VsTrainError("a few-shot generator needs references, and the clip has none")
    return functools.partial(generator, subject=generator.encode_references(references))


def update_discriminator(
    state: TrainState, real: nets.JudgedReal, synthesis: nets.Synthesis, inputs: FrameInputs, recipe: Recipe
) -> tuple[nets.Losses, optim.ScalerReport]:
    """One update of D on the real frame and a generated one, which must be detached."""
    with optim.autocast(recipe.precision, recipe.device):
        verdicts = nets.judge_frame(state.discriminator, real, synthesis, inputs.fake_past, nets.judge_both)
        losses = nets.discriminator_losses(verdicts)
        loss = nets.total(losses, recipe.objective)
    _check_early(state, losses, "discriminator", inputs)
    state.discriminator_optimizer.zero_grad(set_to_none=True)
    state.discriminator_scaler.scale(loss).backward()
    return losses, state.discriminator_scaler.update(state.discriminator_optimizer)


def update_generator(
    state: TrainState,
    real: nets.JudgedReal,
    synthesis: nets.Synthesis,
    inputs: FrameInputs,
    recipe: Recipe,
    *,
    may_step: bool = True,
) -> tuple[nets.Losses, optim.ScalerReport]:
    """One update of G; no gradient of D's parameters is computed. Not `may_step` holds the step itself back."""
    with frozen_parameters(state.discriminator), optim.autocast(recipe.precision, recipe.device):
        verdicts = nets.judge_frame(state.discriminator, real, synthesis, inputs.fake_past, nets.judge_fake)
        losses = nets.generator_losses(synthesis, inputs.target, verdicts, recipe.perceptual)
    return losses, _step_generator(state, losses, inputs, recipe, may_step=may_step)


def _step_generator(
    state: TrainState, losses: nets.Losses, inputs: FrameInputs, recipe: Recipe, *, may_step: bool = True
) -> optim.ScalerReport:
    """Backward through the weighted losses, and a step of G."""
    _check_early(state, losses, "generator", inputs)
    state.generator_optimizer.zero_grad(set_to_none=True)
    state.generator_scaler.scale(nets.total(losses, recipe.objective)).backward()
    return state.generator_scaler.update(state.generator_optimizer, may_step=may_step)


def _check_early(state: TrainState, losses: nets.Losses, network: str, inputs: FrameInputs) -> None:
    """On the CPU, where it costs nothing, refuse a loss that is not finite before it reaches any weight.

    On a GPU it would wait for the device; there the losses of a clip are checked together at its end.
    """
    if any(loss.device.type != "cpu" for loss in losses.values()):
        return
    for name, loss in losses.items():
        if not math.isfinite(loss.item()):
            raise NonFiniteError(
                step=state.step, what=f"loss {name}", network=network, frame=inputs.frame, clip=inputs.clip
            )


def update_average(state: TrainState, config: optim.EmaConfig) -> None:
    """Move the average towards the generator's weights as it uses them, that is, spectrally normalised."""
    values, scales = dict(state.generator.named_parameters()), nets.weight_scales(state.generator)
    averages = dict(state.average.named_parameters())
    share = optim.ema_share(config, step=state.updates)
    normalised = [name for name in averages if name in scales]
    plain = [name for name in averages if name not in scales]
    vs_ops.ema(
        [averages[name] for name in normalised],
        [values[name] for name in normalised],
        share=share,
        scales=[scales[name] for name in normalised],
    )
    vs_ops.ema([averages[name] for name in plain], [values[name] for name in plain], share=share)


@contextmanager
def frozen_parameters(module: nn.Module) -> Iterator[None]:
    """Within, no gradient of the module's parameters is computed; gradients still flow through it to its inputs."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)


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


def _detached(synthesis: nets.Synthesis) -> nets.Synthesis:
    raw = None if synthesis.raw is None else synthesis.raw.detach()
    return nets.Synthesis(frame=synthesis.frame.detach(), raw=raw)


def _report(state: TrainState, reports: list[FrameReport], clip: Clip) -> StepReport:
    keys = [(t, name) for t, report in enumerate(reports) for name in report.losses]
    values = torch.stack([reports[t].losses[name] for t, name in keys]).tolist()  # the one wait for the device
    for (t, name), value in zip(keys, values, strict=True):
        if not math.isfinite(value):
            network = "discriminator" if name.startswith("d_") else "generator"
            raise NonFiniteError(step=state.step, what=f"loss {name[2:]}", network=network, frame=t, clip=clip.name)
    sums: dict[str, list[float]] = {}
    for (_, name), value in zip(keys, values, strict=True):
        sums.setdefault(name, []).append(value)
    return StepReport(
        losses={name: sum(xs) / len(xs) for name, xs in sorted(sums.items())},
        frames=len(reports),
        generator_scale=reports[-1].generator.scale,
        discriminator_scale=reports[-1].discriminator.scale,
        generator_skipped=reports[-1].generator.skipped_total,
        discriminator_skipped=reports[-1].discriminator.skipped_total,
    )
