"""Passes of one frame through the networks: what is generated, and each network's losses with their gradients.

Training calls these functions, and so does whoever wants to know how training computes: an `Execution` says in which
context they compute and what is done with a loss.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import attrs
import vs_nets as nets
import vs_optim as optim
from torch import Tensor, nn

from vs_training.errors import VsTrainingError
from vs_training.inputs import FrameInputs, history_of
from vs_training.state import Recipe


@attrs.frozen(kw_only=True, eq=False)
class Execution:
    """Circumstances of a pass.

    Attributes:
        forward: makes the context in which networks and losses are computed.
        backward: called outside that context with a loss and the network whose it is, to add the gradients of that
            network's parameters.
    """

    forward: Callable[[], AbstractContextManager[object]]
    backward: Callable[[optim.Network, Tensor], None]


@attrs.frozen(kw_only=True, eq=False)
class Shown:
    """A generated frame beside the real one, as the discriminators are shown both."""

    inputs: FrameInputs
    real: nets.RealInputs
    synthesis: nets.Synthesis


def training_execution(scales: optim.Pair[optim.Scale], recipe: Recipe) -> Execution:
    """Return how training computes: under autocast, with scaled losses."""

    def backward(network: optim.Network, loss: Tensor) -> None:
        optim.scale_loss(loss, scales.of(network)).backward()

    return Execution(forward=recipe.autocast, backward=backward)


def generate(generator: nets.AnyGenerator, inputs: FrameInputs, run: Execution) -> nets.Synthesis:
    """Generate the frame, from its label, its past and how that moves, and the references."""
    with run.forward():
        return generator.bind(inputs.references)(inputs.label, history_of(inputs))


def show(generator: nets.AnyGenerator, discriminator: nets.Discriminator, inputs: FrameInputs, run: Execution) -> Shown:
    """Generate the frame, and put it beside the real one."""
    synthesis = generate(generator, inputs, run)
    condition = nets.discriminator_condition(inputs.label, inputs.references, synthesis)
    real = nets.real_inputs(condition, inputs.target.frame, inputs.past.real, discriminator.config, inputs.boxes)
    return Shown(inputs=inputs, real=real, synthesis=synthesis)


def discriminator_pass(
    discriminator: nets.Discriminator,
    shown: Shown,
    objective: nets.ObjectiveConfig,
    run: Execution,
    *,
    parts: int = 1,
) -> nets.Losses:
    """Return the losses of D, after their backward pass; the way back to G is closed.

    Args:
        discriminator: whose losses.
        shown: what it looks at.
        objective: with the weights of the losses.
        run: how to compute.
        parts: how many such frames make a batch: what counts is the mean of their losses.
    """
    detached = _detached(shown.synthesis)
    with run.forward():
        outputs = nets.discriminate_frame(
            discriminator, shown.real, detached, shown.inputs.past.fake, nets.discriminate_both
        )
        losses = nets.discriminator_losses(outputs, objective)
        loss = nets.total(losses) * (1 / parts)
    run.backward("discriminator", loss)
    return losses


def generator_pass(
    discriminator: nets.Discriminator,
    shown: Shown,
    objective: nets.ObjectiveConfig,
    perceptual: nets.Perceptual | None,
    run: Execution,
    *,
    parts: int = 1,
) -> nets.Losses:
    """Return the losses of G, after their backward pass. No gradient of D's parameters is computed.

    Args:
        discriminator: as it is after its own step.
        shown: what it looks at, with the graph of what was generated.
        objective: with the weights of the losses.
        perceptual: the network of the perceptual loss.
        run: how to compute.
        parts: as for `discriminator_pass`.
    """
    with frozen_parameters(discriminator), run.forward():
        outputs = nets.discriminate_frame(
            discriminator, shown.real, shown.synthesis, shown.inputs.past.fake, nets.discriminate_fake
        )
        losses = nets.generator_losses(shown.synthesis, shown.inputs.target, outputs, objective, perceptual)
        loss = nets.total(losses) * (1 / parts)
    run.backward("generator", loss)
    return losses


def flow_pass(
    generator: nets.AnyGenerator,
    inputs: FrameInputs,
    objective: nets.ObjectiveConfig,
    run: Execution,
    *,
    parts: int = 1,
) -> tuple[nets.Losses, Tensor]:
    """Return the losses of a generator's flow network alone, after their backward pass, and what it warped.

    A few-shot generator warps every reference to the frame, (N * K, 3, H, W), a vid2vid one the frame before it,
    (N, 3, H, W), by the past that it is given; detached.

    Raises:
        VsTrainingError: there is no flow network to train, or the clip has no references.
    """
    target = inputs.target
    match generator, inputs.references:
        case nets.FewShotGenerator(), nets.References() as references:
            frame = target.frame.repeat_interleave(references.count, 0)
            warp_all = functools.partial(generator.warp_references, inputs.label, references)
            flow, confidence = (_flat(each) for each in (target.reference_flow, target.reference_confidence))
        case nets.Generator(), None if generator.flow is not None:
            frame, flow, confidence = target.frame, target.flow, target.flow_confidence
            warp_all = functools.partial(generator.warp_past, inputs.label, inputs.past.history)
        case _:
            raise VsTrainingError("there is no flow network to train alone, or a few-shot clip has no references")
    with run.forward():
        warp = warp_all()
        losses = nets.warp_losses(warp, frame, flow, confidence, objective)
        loss = nets.total(losses) / parts
    run.backward("generator", loss)
    return losses, warp.frame.detach()


def can_learn_flow(generator: nets.AnyGenerator, inputs: FrameInputs) -> bool:
    """Tell whether a frame has the past that a flow network needs to learn alone; references have no need of it."""
    match generator:
        case nets.FewShotGenerator():
            return True
        case nets.Generator():
            return len(inputs.past.history.frames) >= generator.config.frames - 1


def _flat(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.flatten(0, 1)


@contextmanager
def frozen_parameters(module: nn.Module) -> Iterator[None]:
    """Compute no gradient of the module's parameters within; gradients still flow through it to its inputs."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)


def _detached(synthesis: nets.Synthesis) -> nets.Synthesis:
    """Return what D is shown of a synthesis, without the way back to G."""
    raw = None if synthesis.raw is None else synthesis.raw.detach()
    return nets.Synthesis(frame=synthesis.frame.detach(), raw=raw)
