"""What a training step works on and what it returns, as data."""

from collections.abc import Mapping

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
from torch import Tensor


@attrs.frozen(kw_only=True, eq=False)
class TrainState:
    """Everything that a step changes. Modules and optimizers are changed in place; all else by evolving.

    Attributes:
        generator: in training mode.
        discriminator: in training mode.
        generator_ema: the generator of averaged, already normalised weights, in evaluation mode.
        generator_optimizer: steps `generator`.
        discriminator_optimizer: steps `discriminator`.
        scaling: the loss scales of both networks, and what they have seen.
        step: clips trained on so far.
        updates: frames trained on so far, each an update of the generator, those that were skipped included.
        roll_backs: how often the run has gone back to a checkpoint; the order of the data depends on it.
    """

    generator: nets.AnyGenerator
    discriminator: nets.Discriminator
    generator_ema: nets.AnyGenerator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    scaling: optim.PairState
    step: int = 0
    updates: int = 0
    roll_backs: int = 0


@attrs.frozen(kw_only=True, eq=False)
class Recipe:
    """What a step needs and never changes.

    Attributes:
        scaler: how loss scales move, and what an overflow of one network means for the other.
        micro_batches: equal parts that a batch is computed in, one after the other.
        generator_clip_norm: longest gradient of the generator, after unscaling; None: as long as it is.
        discriminator_clip_norm: the same of the discriminator.
        underflow_every: steps between measurements of underflowing gradients while losses are scaled; 0: never.
        flow_steps: steps that train the flow network of a few-shot generator alone, before all others.
    """

    labels: nets.LabelSpec
    objective: nets.ObjectiveConfig
    perceptual: nets.Perceptual | None
    precision: optim.Precision
    ema: optim.EmaConfig
    device: torch.device
    channels_last: bool = True
    scaler: optim.ScalerConfig = attrs.field(factory=optim.ScalerConfig)
    micro_batches: int = 1
    generator_clip_norm: float | None = None
    discriminator_clip_norm: float | None = None
    underflow_every: int = 0
    flow_steps: int = 0


@attrs.frozen(kw_only=True)
class StepReport:
    """What a step did.

    Attributes:
        losses: by name, means over the frames that had the loss.
        frames: frames of the clip.
        gradient_norms: of `generator` and `discriminator`: L2 norm of the unscaled gradient before clipping, mean over
            the frames in which it was finite; a network without such a frame is missing.
        underflow: of each network: share of gradient elements that underflow in the compute dtype while scaled, mean
            over the frames; empty in steps that do not measure it.
        generator_scale: loss scale after the step.
        discriminator_scale: the same of the discriminator.
        generator_skipped: updates left out since the start of the run.
        discriminator_skipped: the same of the discriminator.
        replays: updates computed again since the start of the run.
    """

    losses: Mapping[str, float]
    frames: int
    gradient_norms: Mapping[str, float]
    underflow: Mapping[str, float]
    generator_scale: float
    discriminator_scale: float
    generator_skipped: int
    discriminator_skipped: int
    replays: int


@attrs.frozen(kw_only=True, eq=False)
class FrameInputs:
    """One frame of a batch on the device, and its past: real frames and generated ones, oldest first.

    `references` are there for few-shot generators. `clip` and `frame` are for messages: the name of the clip and the
    frame's index within it. Every tensor in here has the batch as its first dimension.
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
class Attempt:
    """One computation of a frame's update: D has stepped if its gradients are finite, G has not.

    Attributes:
        losses: detached, by name, `d_` of the discriminator and `g_` of the generator.
        discriminator: what was found in D's gradients; None: D was not updated.
        generator: the same of G.
        frame: what was generated (N, 3, H, W), or warped from each reference (N * K, 3, H, W); detached.
    """

    losses: Mapping[str, Tensor]
    discriminator: optim.GradientReport | None
    generator: optim.GradientReport | None
    frame: Tensor


@attrs.frozen(kw_only=True, eq=False)
class FrameReport:
    """Losses of the attempt at a frame that counted, what was found in its gradients, and the decision on it."""

    losses: Mapping[str, Tensor]
    discriminator: optim.GradientReport | None
    generator: optim.GradientReport | None
    decision: optim.Decision
