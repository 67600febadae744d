"""The step that many ranks are computed from: its backward passes, with the gradients of each, and all else."""

import attrs
from vs_data import open_source
from vs_training.config import TrainConfig, label_spec
from vs_training.counts import count_networks
from vs_training.exchange import Backward

from vs_bench.distributed.networks import FLOAT32
from vs_bench.distributed.simulation import Step
from vs_bench.step.phases import D_BACKWARD, G_BACKWARD

DECISIONS = 4
"""Questions that processes ask one another for each frame: of each network, which parameters have gradients, and what
was found in these."""


def step_of(phases: dict[str, float], config: TrainConfig, frames: int) -> Step:
    """Return the step of a run of which these are the seconds of each phase; each frame is an update of both networks.

    Of the backward pass of G's losses, the part in which G's own gradients become ready begins at the frame.
    """
    counts = count_networks(config, label_spec(config.labels, open_source(config.data, "train")))
    update = (
        Backward(
            network="discriminator",
            seconds=phases[D_BACKWARD] / frames,
            gradient_bytes=FLOAT32 * counts.discriminator,
        ),
        Backward(
            network="generator",
            seconds=phases[G_BACKWARD] / frames,
            gradient_bytes=FLOAT32 * counts.generator,
        ),
    )
    other = sum(seconds for phase, seconds in phases.items() if phase not in (D_BACKWARD, G_BACKWARD))
    return Step(other=other, backwards=update * frames)


def step_record(step: Step) -> dict[str, object]:
    """Return what a file says of a step."""
    return {"seconds": step.seconds, **attrs.asdict(step)}
