"""The gradients of one frame: D's, D's step, then G's, judged by the new D. Whether they count is decided elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
from torch import Tensor, nn

from vs_training.errors import VsTrainingError
from vs_training.state import Attempt, FrameInputs, Recipe, TrainState

T = TypeVar("T")


def attempt_frame(state: TrainState, inputs: FrameInputs, recipe: Recipe) -> Attempt:
    """Generate a frame, compute D's gradients and step D if they are finite, and compute G's gradients.

    In `recipe.micro_batches` parts, D's gradients are computed from frames whose graphs are not kept, and G generates
    them anew for its own: a fourth more work or so, for the memory of one part. The parts see the same weights, also
    where these depend on vectors of power iterations, so that the sums are those of the whole batch, up to rounding.
    """
    parts = split_batch(inputs, recipe.micro_batches)
    whole, share = len(parts) == 1, 1 / len(parts)
    start = optim.keep_tensors(() if whole else state.generator.buffers())
    shown: list[tuple[FrameInputs, nets.RealInputs, nets.Synthesis]] = []
    d_losses, g_losses = [], []
    state.discriminator_optimizer.zero_grad(set_to_none=True)
    for part in from_one_start(parts, state.generator, state.discriminator):
        with torch.set_grad_enabled(whole):
            synthesis = generate(state, part, recipe)
        condition = nets.discriminator_condition(part.label, part.references, synthesis)
        real = nets.real_inputs(condition, part.target.frame, part.real_past, state.discriminator.config)
        d_losses.append(discriminator_backward(state, real, detached(synthesis), part, recipe, share=share))
        shown.append((part, real, synthesis))
    losses = {f"d_{name}": loss for name, loss in mean_losses(d_losses).items()}
    frame = torch.cat([synthesis.frame.detach() for _, _, synthesis in shown])
    d_found = take_discriminator(state, losses, recipe)
    if d_found.finding == "not_finite":  # G would choke on the same
        return Attempt(losses=losses, discriminator=d_found, generator=None, frame=frame)
    if d_found.finding != "overflow":
        state.discriminator_optimizer.step()
    optim.put_back(start)
    state.generator_optimizer.zero_grad(set_to_none=True)
    for part, real, synthesis in from_one_start(shown, state.generator, state.discriminator):
        made = synthesis if whole else generate(state, part, recipe)
        g_losses.append(generator_backward(state, real, made, part, recipe, share=share))
    of_g = {f"g_{name}": loss for name, loss in mean_losses(g_losses).items()}
    g_found = take_generator(state, of_g, recipe)
    return Attempt(losses={**losses, **of_g}, discriminator=d_found, generator=g_found, frame=frame)


def attempt_flow(state: TrainState, inputs: FrameInputs, recipe: Recipe) -> Attempt:
    """Compute the gradients of a few-shot generator's flow network alone: a frame is warped from every reference.

    Raises:
        VsTrainingError: the generator is no few-shot one, or the clip has no references.
    """
    generator = state.generator
    if not isinstance(generator, nets.FewShotGenerator) or inputs.references is None:
        raise VsTrainingError("only a few-shot generator, on clips with references, can train its flow network alone")
    parts, parts_losses, frames = split_batch(inputs, recipe.micro_batches), [], []
    state.generator_optimizer.zero_grad(set_to_none=True)
    for part in from_one_start(parts, generator):
        references, target = part.references or inputs.references, part.target
        with optim.autocast(recipe.precision, recipe.device):
            warp = generator.warp_references(part.label, references)
            losses = nets.warp_losses(
                warp,
                target.frame.repeat_interleave(references.count, 0),
                None if target.reference_flow is None else target.reference_flow.flatten(0, 1),
                None if target.reference_confidence is None else target.reference_confidence.flatten(0, 1),
                recipe.objective,
            )
            loss = nets.total(losses) / len(parts)
        optim.scale_loss(loss, state.scaling.generator.scale).backward()
        parts_losses.append(losses)
        frames.append(warp.frame.detach())
    named = {f"g_{name}": loss for name, loss in mean_losses(parts_losses).items()}
    found = take_generator(state, named, recipe)
    return Attempt(losses=named, discriminator=None, generator=found, frame=torch.cat(frames))


def split_batch(inputs: FrameInputs, parts: int) -> list[FrameInputs]:
    """The frame of a batch in equal parts along the batch, views of it.

    Raises:
        VsTrainingError: the batch cannot be divided so.
    """
    count = inputs.target.frame.shape[0]
    if parts == 1:
        return [inputs]
    if count % parts:
        raise VsTrainingError(f"a batch of {count} cannot be computed in {parts} equal parts")
    size = count // parts
    return [_narrow(inputs, start, size) for start in range(0, count, size)]


def _narrow(value: Any, start: int, size: int) -> Any:
    """All tensors in nested frozen data, narrowed along their first dimension."""
    if isinstance(value, Tensor):
        return value.narrow(0, start, size)
    if isinstance(value, tuple):
        return tuple(_narrow(item, start, size) for item in value)
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value))]
        return attrs.evolve(value, **{name: _narrow(getattr(value, name), start, size) for name in names})
    return value


def from_one_start(items: Sequence[T], *modules: nn.Module) -> Iterator[T]:
    """The items, each with the buffers of `modules` as they were at the first: no part of a batch sees another's."""
    start = optim.keep_tensors(b for module in modules for b in module.buffers()) if len(items) > 1 else None
    for index, item in enumerate(items):
        if index and start is not None:
            optim.put_back(start)
        yield item


def mean_losses(parts: Sequence[nets.Losses]) -> dict[str, Tensor]:
    """Values of the losses of a batch, detached, from those of its equal parts."""
    if len(parts) == 1:
        return {name: loss.value.detach() for name, loss in parts[0].items()}
    return {name: torch.stack([part[name].value.detach() for part in parts]).mean() for name in parts[0]}


def generate(state: TrainState, inputs: FrameInputs, recipe: Recipe) -> nets.Synthesis:
    """The generator's frame."""
    with optim.autocast(recipe.precision, recipe.device):
        return state.generator.bind(inputs.references)(inputs.label, inputs.history)


def discriminator_backward(
    state: TrainState,
    real: nets.RealInputs,
    synthesis: nets.Synthesis,
    inputs: FrameInputs,
    recipe: Recipe,
    *,
    share: float = 1.0,
) -> nets.Losses:
    """Losses of D on the real frame and a generated one, which must be detached; adds `share` of their gradients."""
    with optim.autocast(recipe.precision, recipe.device):
        outputs = nets.discriminate_frame(
            state.discriminator, real, synthesis, inputs.fake_past, nets.discriminate_both
        )
        losses = nets.discriminator_losses(outputs, recipe.objective)
        loss = nets.total(losses) * share
    optim.scale_loss(loss, state.scaling.discriminator.scale).backward()
    return losses


def generator_backward(
    state: TrainState,
    real: nets.RealInputs,
    synthesis: nets.Synthesis,
    inputs: FrameInputs,
    recipe: Recipe,
    *,
    share: float = 1.0,
) -> nets.Losses:
    """Losses of G; adds `share` of their gradients to G's. No gradient of D's parameters is computed."""
    with frozen_parameters(state.discriminator), optim.autocast(recipe.precision, recipe.device):
        outputs = nets.discriminate_frame(
            state.discriminator, real, synthesis, inputs.fake_past, nets.discriminate_fake
        )
        losses = nets.generator_losses(synthesis, inputs.target, outputs, recipe.objective, recipe.perceptual)
        loss = nets.total(losses) * share
    optim.scale_loss(loss, state.scaling.generator.scale).backward()
    return losses


def take_discriminator(state: TrainState, losses: Mapping[str, Tensor], recipe: Recipe) -> optim.GradientReport:
    """Unscale, judge and clip D's gradients."""
    scale, clip_norm = state.scaling.discriminator.scale, recipe.discriminator_clip_norm
    return _take(state.discriminator, losses, scale, clip_norm, state, recipe)


def take_generator(state: TrainState, losses: Mapping[str, Tensor], recipe: Recipe) -> optim.GradientReport:
    """Unscale, judge and clip G's gradients."""
    scale, clip_norm = state.scaling.generator.scale, recipe.generator_clip_norm
    return _take(state.generator, losses, scale, clip_norm, state, recipe)


def _take(
    network: nn.Module,
    losses: Mapping[str, Tensor],
    scale: float,
    clip_norm: float | None,
    state: TrainState,
    recipe: Recipe,
) -> optim.GradientReport:
    """A GPU without loss scaling is not waited for: there, losses and norms of a clip are looked at when it ends."""
    measured = state.scaling.scaling and recipe.underflow_every and state.step % recipe.underflow_every == 0
    return optim.take_gradients(
        network.parameters(),
        scale=scale,
        losses=list(losses.values()),
        wait=state.scaling.scaling or recipe.device.type == "cpu",
        clip_norm=clip_norm,
        underflow_of=recipe.precision.dtype if measured else None,
    )


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


def detached(synthesis: nets.Synthesis) -> nets.Synthesis:
    """What D is shown of a synthesis, without the way back to G."""
    raw = None if synthesis.raw is None else synthesis.raw.detach()
    return nets.Synthesis(frame=synthesis.frame.detach(), raw=raw)
