"""What a training step tells of itself: means over its frames."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import attrs
import torch
import vs_optim as optim
from torch import Tensor
from vs_runtime.ranks import ONE, Ranks, gathered

from vs_training.agreement import first_struck
from vs_training.divergence import bad_weight
from vs_training.errors import NonFiniteError
from vs_training.state import FrameUpdate, StepReport, TrainState


@attrs.frozen
class _Quantity:
    """One of the numbers that every frame has: of which network, what, and for a loss its name."""

    network: optim.Network
    kind: Literal["loss", "norm", "underflow"]
    name: str = ""


Measured = Mapping[_Quantity, Tensor]
"""The numbers of a frame, on its device."""


def measure(update: FrameUpdate) -> Measured:
    """Return the numbers of an update, which are all that is kept of a frame until its clip ends."""
    return dict(_measured(update))


def report_step(state: TrainState, frames: Sequence[Measured], clip: str, ranks: Ranks = ONE) -> StepReport:
    """Return means over the frames of all processes; everything is fetched in one wait for the device, and looked at.

    Raises:
        NonFiniteError: a loss or a gradient is not finite, found here where the frames were not waited for.
    """
    means = _means(state, frames, clip, ranks)
    scales = state.scaling.scales
    return StepReport(
        losses=optim.both(
            lambda network: {
                quantity.name: mean
                for quantity, mean in sorted(means.items(), key=lambda item: item[0].name)
                if quantity.network == network and quantity.kind == "loss"
            }
        ),
        frames=len(frames),
        gradient_norms=optim.both(lambda network: means.get(_Quantity(network, "norm"))),
        underflow=optim.both(lambda network: means.get(_Quantity(network, "underflow"))),
        scales=scales.map(lambda scale: scale.scale),
        skipped=scales.map(lambda scale: scale.skipped_total),
        replays=state.scaling.replays_total,
    )


def _means(state: TrainState, frames: Sequence[Measured], clip: str, ranks: Ranks) -> dict[_Quantity, float]:
    places = [
        (t, quantity) for t, frame in enumerate(frames) for quantity, x in frame.items() for _ in range(x.numel())
    ]
    values = torch.cat([x.reshape(-1).to(torch.float32) for frame in frames for x in frame.values()])
    found: dict[tuple[int, _Quantity], list[float]] = {}
    for (t, quantity), column in zip(places, gathered(ranks, values).T.tolist(), strict=True):
        for rank, value in enumerate(column):
            if not math.isfinite(value):
                error = _late_divergence(state, quantity, t, clip)
                raise first_struck(ranks, error, struck=quantity.kind == "loss" and rank == ranks.rank)
        found.setdefault((t, quantity), []).extend(column)
    averages: dict[_Quantity, list[float]] = {}
    for (_, quantity), xs in found.items():
        averages.setdefault(quantity, []).append(math.fsum(xs) / len(xs))
    return {quantity: sum(xs) / len(xs) for quantity, xs in averages.items()}


def _measured(update: FrameUpdate) -> Iterator[tuple[_Quantity, Tensor]]:
    """Yield the numbers of a frame: losses, norms of gradients without overflow, underflow where it was measured."""
    for network in ("discriminator", "generator"):
        for name, loss in update.losses.of(network).items():
            yield _Quantity(network, "loss", name), loss
    for network, gradients in update.gradients.items():
        if gradients is not None and gradients.finding != "overflow":
            yield _Quantity(network, "norm"), gradients.norm
        if gradients is not None and gradients.underflow is not None:
            yield _Quantity(network, "underflow"), gradients.underflow


def _late_divergence(state: TrainState, quantity: _Quantity, t: int, clip: str) -> NonFiniteError:
    """Return the error of a value that was looked at when its clip had ended: steps with it have been taken by then."""
    what = f"loss {quantity.name}" if quantity.kind == "loss" else "the gradient"
    return NonFiniteError(
        step=state.step, what=what, network=quantity.network, layer=bad_weight(state), frame=t, clip=clip
    )
