"""One update on one frame: where D steps, where G steps by what the new D says, and where the EMA moves."""

from collections.abc import Hashable, Mapping

import attrs
import torch
import vs_nets as nets
import vs_ops
import vs_optim as optim
from torch import Tensor

from vs_training.agreement import worst_finding
from vs_training.batches import from_one_start, parts_of, values_of
from vs_training.inputs import FrameInputs
from vs_training.passes import (
    Execution,
    Shown,
    discriminator_pass,
    flow_pass,
    generate,
    generator_pass,
    show,
    training_execution,
)
from vs_training.state import FrameUpdate, Recipe, TrainState

_NOTHING: Mapping[str, Tensor] = {}


@attrs.frozen(kw_only=True, eq=False)
class Terms:
    """Numbers that an update takes from the host, and whether it waits to tell the host anything.

    Attributes:
        scales: what the losses of each network are multiplied by.
        wait: whether to wait for what is found in gradients. Without loss scaling a GPU is not waited for: losses and
            norms of a clip are looked at when it ends.
        measured: whether the underflow of gradients is measured.
    """

    scales: optim.Pair[optim.Scale]
    wait: bool
    measured: bool


def terms_of(state: TrainState, recipe: Recipe) -> Terms:
    """Return the terms of the next update."""
    scaled = state.scaling.enabled
    return Terms(
        scales=state.scaling.scales.map(lambda scale: scale.scale),
        wait=scaled or recipe.device.type == "cpu",
        measured=scaled and recipe.underflow_every > 0 and state.step % recipe.underflow_every == 0,
    )


def update_frame(state: TrainState, inputs: FrameInputs, recipe: Recipe, replays: int = 0) -> FrameUpdate:
    """Update D, then G, then the EMA of G, all in place; what does not count in the end is put back by `retry`.

    Args:
        state: before the update.
        inputs: the frame.
        recipe: how to train.
        replays: how often this update has been computed again already.
    """
    terms = terms_of(state, recipe)

    # D's losses on the real and the generated frame, and their gradients.
    shown, d_losses, d_gradients = discriminator_gradients(state, inputs, recipe, terms)

    # The decision that cannot wait: by a loss or a weight that is not finite G would not be either; this is divergence.
    if d_gradients.finding == "not_finite":
        gradients = optim.Pair(discriminator=d_gradients, generator=None)
        losses = optim.Pair(discriminator=d_losses, generator=_NOTHING)
        decision = decide(state, gradients, recipe, replays)
        return FrameUpdate(losses=losses, gradients=gradients, decision=decision, frame=shown.frame)

    # D's step. It may have to be given back, by what is found in G's gradients.
    if d_gradients.finding != "overflow":
        state.optimizers.discriminator.step()

    # G's losses by the new D, and their gradients.
    g_losses, g_gradients = generator_gradients(state, shown, recipe, terms)

    # The decision on both steps.
    gradients = optim.Pair(discriminator=d_gradients, generator=g_gradients)
    decision = decide(state, gradients, recipe, replays)

    # G's step, and the EMA's.
    if decision.steps.generator:
        generator_step(state, recipe)
    losses = optim.Pair(discriminator=d_losses, generator=g_losses)
    return FrameUpdate(losses=losses, gradients=gradients, decision=decision, frame=shown.frame)


def update_flow(state: TrainState, inputs: FrameInputs, recipe: Recipe, replays: int = 0) -> FrameUpdate:
    """Update the flow network and nothing else, see `passes.flow_pass`.

    Raises:
        VsTrainingError: there is no flow network to train, or the clip has no references.
    """
    terms = terms_of(state, recipe)
    run = training_execution(terms.scales, recipe)
    parts = parts_of(inputs, recipe)
    state.generator.zero_grad(set_to_none=True)
    found = [
        flow_pass(state.generator, part, recipe.objective, run, parts=recipe.parts)
        for part in state.sums.generator.each(from_one_start(parts, state.generator), len(parts), "flow")
    ]
    losses = values_of([part_losses for part_losses, _ in found])
    gradients = optim.Pair(discriminator=None, generator=check_gradients(state, "generator", losses, recipe, terms))
    decision = decide(state, gradients, recipe, replays)
    if decision.steps.generator:
        generator_step(state, recipe)
    return FrameUpdate(
        losses=optim.Pair(discriminator=_NOTHING, generator=losses),
        gradients=gradients,
        decision=decision,
        frame=torch.cat([frame for _, frame in found]),
    )


def discriminator_gradients(
    state: TrainState, inputs: FrameInputs, recipe: Recipe, terms: Terms
) -> tuple["ShownBatch", Mapping[str, Tensor], optim.GradientReport]:
    """Generate the frame; compute D's losses on it and the real one, and their gradients."""
    run = training_execution(terms.scales, recipe)
    state.discriminator.zero_grad(set_to_none=True)
    shown = _show_batch(state, inputs, recipe, run)
    losses = _discriminator_losses(state, shown, recipe, run)
    return shown, losses, check_gradients(state, "discriminator", losses, recipe, terms)


def generator_gradients(
    state: TrainState, shown: "ShownBatch", recipe: Recipe, terms: Terms
) -> tuple[Mapping[str, Tensor], optim.GradientReport]:
    """Compute G's losses by D as it is now, and their gradients."""
    run = training_execution(terms.scales, recipe)
    state.generator.zero_grad(set_to_none=True)
    losses = _generator_losses(state, shown, recipe, run)
    return losses, check_gradients(state, "generator", losses, recipe, terms)


def generator_step(state: TrainState, recipe: Recipe) -> None:
    """Take G's step, and the EMA's behind it."""
    state.optimizers.generator.step()
    update_ema(state, recipe.ema)


def next_ema_weight(state: TrainState, config: optim.EmaConfig) -> float:
    """Return what G's weights count for in the EMA after the next step; the EMA counts the steps that it has seen."""
    taken = state.updates - state.scaling.scales.generator.skipped_total
    return optim.ema_weight(config, step=taken)


def update_ema(state: TrainState, config: optim.EmaConfig) -> None:
    """Move the EMA towards the generator's weights as it uses them, that is, spectrally normalised."""
    weight = next_ema_weight(state, config)
    values, scales = dict(state.generator.named_parameters()), nets.weight_scales(state.generator)
    # What other processes average is not here.
    averages = {name: average for name, average in state.generator_ema.named_parameters() if not average.is_meta}
    normalised = [name for name in averages if name in scales]
    plain = [name for name in averages if name not in scales]
    vs_ops.ema(
        [averages[name] for name in normalised],
        [values[name] for name in normalised],
        weight=weight,
        scales=[scales[name] for name in normalised],
    )
    vs_ops.ema([averages[name] for name in plain], [values[name] for name in plain], weight=weight)


def check_gradients(
    state: TrainState, network: optim.Network, losses: Mapping[str, Tensor], recipe: Recipe, terms: Terms
) -> optim.GradientReport:
    """Unscale, check and clip a network's gradients; what any process has found, all have."""
    report = optim.take_gradients(
        state.networks.of(network).parameters(),
        scale=terms.scales.of(network),
        losses=list(losses.values()),
        wait=terms.wait,
        clip_norm=recipe.clip_norms.of(network),
        underflow_of=recipe.precision.dtype if terms.measured else None,
    )
    return attrs.evolve(report, finding=worst_finding(recipe.ranks, report.finding))


def decide(
    state: TrainState, gradients: optim.Pair[optim.GradientReport | None], recipe: Recipe, replays: int
) -> optim.Decision:
    """Decide by the policy. What nobody has waited for counts as finite: it is looked at when the clip ends."""
    findings = gradients.map(lambda report: None if report is None else report.finding or "finite")
    return optim.decide(recipe.scaler, state.scaling, findings, replays=replays)


@attrs.frozen(kw_only=True, eq=False)
class ShownBatch:
    """A batch in one part or several; the generator's buffers of before, where parts are generated again."""

    parts: list[Shown]
    start: optim.KeptTensors | None

    @property
    def frame(self) -> Tensor:
        """Return what was generated, detached."""
        return torch.cat([shown.synthesis.frame.detach() for shown in self.parts])

    @property
    def kind(self) -> Hashable:
        """Return what decides which parts of the networks have gradients, and when: how much each looks at."""
        inputs = self.parts[0].inputs
        references = 0 if inputs.references is None else inputs.references.count
        return len(inputs.past.history.frames), len(inputs.past.real), references


def _show_batch(state: TrainState, inputs: FrameInputs, recipe: Recipe, run: Execution) -> ShownBatch:
    """Generate the batch.

    Only the graph of a whole one is kept. Parts are generated again for G's own gradients: a fourth more work or so,
    for the memory of one part; and where the bits are not to tell how many parts a process has.
    """
    parts = parts_of(inputs, recipe)
    start = optim.keep_tensors(state.generator.buffers()) if recipe.generates_again else None
    with torch.set_grad_enabled(start is None):
        shown = [
            show(state.generator, state.discriminator, part, run) for part in from_one_start(parts, state.generator)
        ]
    return ShownBatch(parts=shown, start=start)


def _discriminator_losses(state: TrainState, batch: ShownBatch, recipe: Recipe, run: Execution) -> dict[str, Tensor]:
    """Return D's losses on the parts of the batch; their gradients are added up, over all processes."""
    parts = from_one_start(batch.parts, state.discriminator)
    return values_of(
        [
            discriminator_pass(state.discriminator, shown, recipe.objective, run, parts=recipe.parts)
            for shown in state.sums.discriminator.each(parts, len(batch.parts), batch.kind)
        ]
    )


def _generator_losses(state: TrainState, batch: ShownBatch, recipe: Recipe, run: Execution) -> dict[str, Tensor]:
    """Return G's losses on the parts of the batch; their gradients are added up, over all processes."""
    if batch.start is not None:
        optim.put_back(batch.start)
    losses = []
    parts = from_one_start(batch.parts, state.generator, state.discriminator)
    for shown in state.sums.generator.each(parts, len(batch.parts), batch.kind):
        if batch.start is not None:
            shown = attrs.evolve(shown, synthesis=generate(state.generator, shown.inputs, run))
        losses.append(
            generator_pass(state.discriminator, shown, recipe.objective, recipe.perceptual, run, parts=recipe.parts)
        )
    return values_of(losses)
