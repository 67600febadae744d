"""Numbers of a step by the names that metrics.jsonl, TensorBoard and whoever watches know them by."""

from collections.abc import Mapping

from vs_optim import Pair, both
from vs_training.state import StepReport, TrainState

UNKNOWN: Pair[float | None] = Pair(generator=None, discriminator=None)
"""Nothing has been measured of either network."""


def written(state: TrainState, report: StepReport) -> dict[str, float]:
    """Return everything that is written of a step, but for what a clock says."""
    rates = state.optimizers.map(lambda optimizer: optimizer.param_groups[0]["lr"])
    return {
        **named_losses(report.losses),
        **_of_networks("gradient_norm", report.gradient_norms),
        **_of_networks("underflow", report.underflow),
        "frames": report.frames,
        "updates": state.updates,
        "lr_generator": rates.generator,
        "lr_discriminator": rates.discriminator,
        "scale_generator": report.scales.generator,
        "scale_discriminator": report.scales.discriminator,
        "skipped_generator": report.skipped.generator,
        "skipped_discriminator": report.skipped.discriminator,
        "replays": report.replays,
        "roll_backs": state.roll_backs,
    }


def named_losses(losses: Pair[Mapping[str, float]]) -> dict[str, float]:
    """Return the losses of both networks by name: `d_gan`, `g_gan`, the discriminator's first."""
    return {
        **{f"d_{name}": loss for name, loss in losses.discriminator.items()},
        **{f"g_{name}": loss for name, loss in losses.generator.items()},
    }


def by_letter(pair: Pair[float | None]) -> dict[str, float]:
    """Return what there is of each network, as a line of progress calls them: `d` and `g`."""
    letters = (("d", pair.discriminator), ("g", pair.generator))
    return {letter: value for letter, value in letters if value is not None}


def last_measured(now: Pair[float | None], before: Pair[float | None]) -> Pair[float | None]:
    """Return the newest number of each network: that of now, or that of before where now there is none."""
    return both(lambda network: before.of(network) if now.of(network) is None else now.of(network))


def _of_networks(what: str, pair: Pair[float | None]) -> dict[str, float]:
    networks = (("discriminator", pair.discriminator), ("generator", pair.generator))
    return {f"{what}_{network}": value for network, value in networks if value is not None}
