"""Loss scaling: how a loss scale moves, and a scaler for a network that trains alone.

float16 cannot hold gradients below 6e-8, so the loss is multiplied by a large scale before backward and the gradients
are divided by it afterwards. When a gradient overflows, the step is skipped and the scale halved; after enough good
steps it is doubled. `torch.amp.GradScaler` has the same rule and the same trajectory of scales (a test compares them),
but says neither whether a step was skipped nor lets another network's overflow decide, so this is our own. What two
networks do that train against each other is in `pair`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor
from vs_config import Check, Problem, check_fields, choice, real, whole

from vs_optim._limits import LARGEST, MOST_STEPS, SMALLEST
from vs_optim.errors import GradientOverflowError, StateError
from vs_optim.finite import finite
from vs_optim.gradients import scale_loss
from vs_optim.precision import Precision

__all__ = [
    "LossScaler",
    "OverflowPolicy",
    "ScaleState",
    "ScalerConfig",
    "ScalerReport",
    "build_scaler",
    "grown",
    "left_out",
    "lowered",
    "next_scale",
]

OverflowPolicy = Literal["independent", "generator_waits", "paired"]


def _check_init_scale(config: ScalerConfig) -> Iterator[Problem]:
    if not config.min_scale <= config.init_scale <= config.max_scale:
        expected = f"a number from min_scale, {config.min_scale:g}, to max_scale, {config.max_scale:g}"
        yield Problem("init_scale", expected=expected, got=config.init_scale)


@attrs.frozen(kw_only=True)
class ScalerConfig:
    """How the loss scale moves; used only where the precision asks for scaling."""

    init_scale: float = real(2.0**16, "loss scale at the first step", low=SMALLEST, high=LARGEST)
    growth_factor: float = real(
        2.0,
        "the scale is multiplied by this after growth_interval steps without overflow",
        low=1,
        high=2.0**32,
        open_low=True,
    )
    backoff_factor: float = real(
        0.5, "the scale is multiplied by this after an overflow", low=0, high=1, open_low=True, open_high=True
    )
    growth_interval: int = whole(2000, "steps without overflow before the scale grows", low=1, high=MOST_STEPS)
    min_scale: float = real(
        1.0,
        "an overflow at this scale is an error, since a smaller scale would not cure it",
        low=SMALLEST,
        high=LARGEST,
    )
    max_scale: float = real(2.0**24, "the scale stays below", low=SMALLEST, high=LARGEST)
    max_skips: int = whole(
        30,
        "so many updates of a network left out in a row are divergence; 24 halvings undo all growth",
        low=1,
        high=MOST_STEPS,
    )
    policy: OverflowPolicy = choice(
        "independent",
        "independent: each network skips a step for its own overflow alone; generator_waits: the generator also skips "
        "the step in which the discriminator overflowed; paired: both steps of an update count or none, and one in "
        "which either overflowed is computed again",
        ("independent", "generator_waits", "paired"),
    )
    max_replays: int = whole(
        3,
        "paired: how often an update is computed again with a smaller scale before both skip it",
        low=0,
        high=1000,  # each replay halves the scale, usually: float32 has 254 powers of two
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("init_scale", "min_scale", "max_scale"), _check_init_scale),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class ScaleState:
    """The scale of one network's losses, and what it has seen.

    Attributes:
        scale: what the next loss is multiplied by.
        good_steps: steps without overflow since the scale last moved.
        skips_in_row: updates left out since the last one that was not.
        skipped_total: updates left out since the start.
    """

    scale: float
    good_steps: int = 0
    skips_in_row: int = 0
    skipped_total: int = 0


@attrs.frozen(kw_only=True)
class ScalerReport:
    """What one update did.

    Attributes:
        scale: the loss scale for the next step (1 where scaling is off).
        skipped: whether the optimizer's step was left out.
        skipped_total: how many steps this scaler has left out so far.
    """

    scale: float
    skipped: bool
    skipped_total: int


def lowered(config: ScalerConfig, state: ScaleState) -> ScaleState:
    """The scale after an overflow: smaller, not below `min_scale`, and its growth starts anew. Counts no skip."""
    return attrs.evolve(state, scale=max(state.scale * config.backoff_factor, config.min_scale), good_steps=0)


def grown(config: ScalerConfig, state: ScaleState) -> ScaleState:
    """The scale after a good step: larger at every `growth_interval`-th in a row, not above `max_scale`."""
    if state.good_steps + 1 < config.growth_interval:
        return attrs.evolve(state, good_steps=state.good_steps + 1, skips_in_row=0)
    scale = min(state.scale * config.growth_factor, config.max_scale)
    return attrs.evolve(state, scale=scale, good_steps=0, skips_in_row=0)


def left_out(state: ScaleState) -> ScaleState:
    """The counts after an update whose step was left out, for whatever reason."""
    return attrs.evolve(state, skips_in_row=state.skips_in_row + 1, skipped_total=state.skipped_total + 1)


def next_scale(config: ScalerConfig, state: ScaleState, *, overflowed: bool) -> ScaleState:
    """The scale after one step of a network that goes by its own gradients. Pure; an overflow is a skip."""
    return left_out(lowered(config, state)) if overflowed else grown(config, state)


class LossScaler:
    """Scale of the loss of a network that trains alone; with scaling off it multiplies by nothing and checks nothing.

    With scaling on every `update` waits once for the device, since its answer is a Python bool. With scaling off it
    never waits: whether losses are finite is then for the caller to check.
    """

    def __init__(self, config: ScalerConfig, *, enabled: bool, names: Sequence[str] = ()) -> None:
        self.config = config
        self.enabled = enabled
        self.names = tuple(names)
        self.state = ScaleState(scale=config.init_scale if enabled else 1.0)

    def scale(self, loss: Tensor) -> Tensor:
        """`loss` in float32 times the scale, of which to call `backward`; the loss itself where scaling is off."""
        return scale_loss(loss, self.state.scale)

    def update(self, optimizer: torch.optim.Optimizer) -> ScalerReport:
        """Unscale the gradients in place, step if they are finite, and move the scale.

        Raises:
            GradientOverflowError: gradients are not finite at the smallest scale.
            StateError: the scaler was given names, and they are not as many as the optimizer has parameters.
        """
        overflowed = self.enabled and self._unscale(_parameters(optimizer))
        if not overflowed:
            optimizer.step()
        if self.enabled:
            self.state = next_scale(self.config, self.state, overflowed=overflowed)
        return ScalerReport(scale=self.state.scale, skipped=overflowed, skipped_total=self.state.skipped_total)

    def _unscale(self, parameters: list[Tensor]) -> bool:
        """Divide gradients in place by the scale; whether any of them is not finite."""
        if self.names and len(self.names) != len(parameters):
            raise StateError("loss scaler", f"{len(self.names)} names for {len(parameters)} parameters")
        found = [(i, p.grad) for i, p in enumerate(parameters) if p.grad is not None and p.grad.numel() > 0]
        if not found:
            return False
        gradients = [gradient for _, gradient in found]
        torch._foreach_mul_(gradients, 1.0 / self.state.scale)
        decisions = finite(gradients).tolist()  # the one wait for the device
        if all(decisions):
            return False
        if self.state.scale <= self.config.min_scale:
            bad = tuple(index for (index, _), good in zip(found, decisions, strict=True) if not good)
            raise GradientOverflowError(self.state.scale, bad, tuple(self.names[i] for i in bad if self.names))
        return True

    def state_dict(self) -> dict[str, float | int]:
        """Plain numbers: `scale`, `good_steps`, `skips_in_row`, `skipped_total`."""
        return attrs.asdict(self.state)

    def load_state_dict(self, state: Mapping[str, float | int]) -> None:
        """Go on from what `state_dict` gave; with scaling off the scale stays 1 and only the count is taken over.

        Raises:
            StateError: a key is missing or unknown.
        """
        expected = {field.name for field in attrs.fields(ScaleState)}
        if set(state) != expected:
            raise StateError("loss scaler", f"expected the keys {sorted(expected)}, got {sorted(state)}")
        counts = {key: int(state[key]) for key in ("good_steps", "skips_in_row", "skipped_total")}
        loaded = ScaleState(scale=float(state["scale"]), **counts)
        self.state = loaded if self.enabled else attrs.evolve(self.state, skipped_total=loaded.skipped_total)


def build_scaler(
    config: ScalerConfig, precision: Precision, device: torch.device | str, *, names: Sequence[str] = ()
) -> LossScaler:
    """The scaler of a network that trains alone; active exactly where `precision.scaling` is.

    Args:
        config: how the scale moves.
        precision: whether losses are scaled at all.
        device: where the losses are.
        names: what an error is to call the parameters, in the order in which the optimizer has them, for instance
            `[name for name, _ in network.named_parameters()]`; none: "parameter 3", counted from 0.
    """
    torch.device(device)  # a name that PyTorch does not know is refused here, not at the first step
    return LossScaler(config, enabled=precision.scaling, names=names)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All parameters of the optimizer, group by group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
