"""What a training step works on and what it returns, as data."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
from torch import Tensor, nn
from vs_runtime.ranks import ONE, GradientSums, LocalSums, Ranks

from vs_training.shards import Shards

NO_CLIPPING: optim.Pair[float | None] = optim.Pair(generator=None, discriminator=None)
"""Gradients are taken as long as they are."""

NOT_SHARED: optim.Pair[Shards | None] = optim.Pair(generator=None, discriminator=None)
"""Every process steps all parameters."""

LOCAL: optim.Pair[GradientSums] = optim.Pair(generator=LocalSums(), discriminator=LocalSums())
"""Gradients of a process by itself."""


@attrs.frozen(kw_only=True)
class PastRecipe:
    """A recipe for what a generator is shown of its past in training, see `past`.

    Attributes:
        noise: standard deviation of noise on past frames, levels of 255.
        average: whether they are made by the average of the generator.
        seed: of the noise.
    """

    noise: float = 0.0
    average: bool = False
    seed: int = 0


@attrs.frozen(kw_only=True, eq=False)
class TrainState:
    """Everything that a step changes. Modules and optimizers are changed in place; all else by evolving.

    Attributes:
        generator: in training mode.
        discriminator: in training mode.
        generator_ema: the generator of averaged, already normalised weights, in evaluation mode.
        optimizers: step `generator` and `discriminator`.
        shards: who steps which parameters of each network, where processes share that; None: each steps all.
        ema_shards: who has which of the averaged weights, where processes share these; None: each has all.
        sums: add up the gradients of each network, over the parts of a batch and over processes.
        scaling: the loss scales of both networks, and what they have seen.
        step: clips trained on so far.
        updates: frames trained on so far, each an update of the generator, those that were skipped included.
        roll_backs: how often the run has gone back to a checkpoint; the order of the data depends on it.
    """

    generator: nets.AnyGenerator
    discriminator: nets.Discriminator
    generator_ema: nets.AnyGenerator
    optimizers: optim.Pair[torch.optim.Optimizer]
    scaling: optim.ScalingState
    shards: optim.Pair[Shards | None] = NOT_SHARED
    ema_shards: Shards | None = None
    sums: optim.Pair[GradientSums] = LOCAL
    step: int = 0
    updates: int = 0
    roll_backs: int = 0

    @property
    def networks(self) -> optim.Pair[nn.Module]:
        """The two networks that train against each other."""
        return optim.Pair(generator=self.generator, discriminator=self.discriminator)


@attrs.frozen(kw_only=True, eq=False)
class Recipe:
    """All that a step needs and never changes.

    Attributes:
        scaler: how loss scales move, and what an overflow of one network means for the other.
        ranks: the processes that share each batch.
        ordered: whether what is learnt is to have the same bits for any number of processes.
        micro_batches: equal parts that this process computes its share of a batch in, one after the other.
        clip_norms: longest gradient of each network, after unscaling; None: as long as it is.
        underflow_every: steps between measurements of underflowing gradients while losses are scaled; 0: never.
        flow_steps: steps that train the flow network alone, before all others.
        past: what the generator is shown of its past.
    """

    labels: nets.LabelSpec
    objective: nets.ObjectiveConfig
    perceptual: nets.Perceptual | None
    precision: optim.Precision
    ema: optim.EmaConfig
    device: torch.device
    channels_last: bool = True
    scaler: optim.ScalerConfig = attrs.field(factory=optim.ScalerConfig)
    ranks: Ranks = ONE
    ordered: bool = False
    micro_batches: int = 1
    clip_norms: optim.Pair[float | None] = NO_CLIPPING
    underflow_every: int = 0
    flow_steps: int = 0
    past: PastRecipe = attrs.field(factory=PastRecipe)

    @property
    def parts(self) -> int:
        """How many parts of all processes make a batch."""
        return self.micro_batches * self.ranks.count

    @property
    def generates_again(self) -> bool:
        """Whether a frame is generated a second time for G's gradients, which without a graph may have other bits."""
        return self.parts > 1 if self.ordered else self.micro_batches > 1

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which networks and losses are computed."""
        return optim.autocast(self.precision, self.device)


@attrs.frozen(kw_only=True, eq=False)
class FrameUpdate:
    """One update of both networks on one frame, as far as it has come.

    Attributes:
        losses: of each network by name, one for each part of this process, detached, without weights; empty of a
            network that was not updated.
        gradients: what was found in those of each network; None: it was not updated.
        decision: whose step counts. The generator has stepped by it; the discriminator has if its gradients are finite.
        frame: what this process generated (N, 3, H, W), or warped from each reference (N * K, 3, H, W); detached.
    """

    losses: optim.Pair[Mapping[str, Tensor]]
    gradients: optim.Pair[optim.GradientReport | None]
    decision: optim.Decision
    frame: Tensor


@attrs.frozen(kw_only=True)
class StepReport:
    """Numbers of a step.

    Attributes:
        losses: of each network by name, in alphabetical order: means over the parts of the batch, in all processes, and
            over the frames that had the loss.
        frames: frames of the clip.
        gradient_norms: L2 norm of each network's unscaled gradient before clipping, mean over the frames in which it
            was finite; None without such a frame.
        underflow: fraction of each network's gradient elements that underflow in the compute dtype while scaled, mean
            over the frames; None in steps that do not measure it.
        scales: loss scales after the step.
        skipped: updates of each network left out since the start of the run.
        replays: updates computed again since the start of the run.
    """

    losses: optim.Pair[Mapping[str, float]]
    frames: int
    gradient_norms: optim.Pair[float | None]
    underflow: optim.Pair[float | None]
    scales: optim.Pair[float]
    skipped: optim.Pair[int]
    replays: int
