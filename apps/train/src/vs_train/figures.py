"""What people see of a training step, in one line."""

from collections.abc import Mapping

import attrs
from vs_config.amounts import show_bytes, show_duration


@attrs.frozen(kw_only=True)
class Figures:
    """The figures that are shown of one training step.

    Attributes:
        losses: The main losses by name, in the order to show them.
        images_per_second: Generated frames per second, lately.
        skipped: Optimizer steps skipped so far because of an overflow.
        replays: Updates computed again so far because of an overflow.
        scales: The loss scale of each network by name; empty when there is no scaling.
        gradient_norms: The norm of each network's gradient by name.
        underflow: The part of each network's gradient that underflows, by name; empty where it is not measured.
        memory_bytes: Memory in use: of the GPU, or of this process.
        seconds_left: Estimate of the time to the end; None while unknown.
        stage: What the curriculum is doing, in a word or two (`4 frames`); may be empty.
    """

    losses: Mapping[str, float]
    images_per_second: float
    skipped: int
    replays: int = 0
    scales: Mapping[str, float] = attrs.field(factory=dict)
    gradient_norms: Mapping[str, float] = attrs.field(factory=dict)
    underflow: Mapping[str, float] = attrs.field(factory=dict)
    memory_bytes: int
    seconds_left: float | None
    stage: str = ""


def show_figures(step: Figures) -> str:
    """Return everything about a step but its number, in one line."""
    parts = [
        step.stage,
        "  ".join(f"{name} {value:.4g}" for name, value in step.losses.items()),
        f"{step.images_per_second:.3g} images/s",
        f"{step.skipped} skipped" if step.skipped or step.scales else "",
        f"{step.replays} replayed" if step.replays else "",
        " ".join(f"scale {name} {scale:g}" for name, scale in step.scales.items()),
        " ".join(f"gradient {name} {norm:.3g}" for name, norm in step.gradient_norms.items()),
        " ".join(f"underflow {name} {100 * part:.3g}%" for name, part in step.underflow.items()),
        show_bytes(step.memory_bytes),
        "" if step.seconds_left is None else f"{show_duration(step.seconds_left)} left",
    ]
    return " · ".join(part for part in parts if part)
