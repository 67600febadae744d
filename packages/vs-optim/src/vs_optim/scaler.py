"""Loss scaling: one scaler per network, which says after every update whether the step was taken.

float16 cannot hold gradients below 6e-8, so the loss is multiplied by a large scale before backward and the gradients
are divided by it afterwards. When a gradient overflows, the step is skipped and the scale halved; after enough good
steps it is doubled. `torch.amp.GradScaler` has the same rule and the same trajectory of scales (a test compares them),
but says neither whether a step was skipped nor lets another network's overflow decide, so this is our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
import torch
from torch import Tensor

from vs_optim._checks import integer, number, one_of
from vs_optim.errors import ConfigError, GradientOverflowError, StateError
from vs_optim.finite import finite
from vs_optim.precision import Precision

__all__ = [
    "Decision",
    "LossScaler",
    "OverflowPolicy",
    "ScaleState",
    "ScalerConfig",
    "ScalerReport",
    "build_scaler",
    "next_scale",
    "resolve_overflow",
]

OverflowPolicy = Literal["independent", "generator_waits"]


@attrs.frozen(kw_only=True)
class ScalerConfig:
    """How the loss scale moves; used only where the precision asks for scaling."""

    init_scale: float = attrs.field(
        default=2.0**16,
        validator=number("a number > 0", lambda x: x > 0),
        metadata={"help": "loss scale at the first step"},
    )
    growth_factor: float = attrs.field(
        default=2.0,
        validator=number("a number > 1", lambda x: x > 1),
        metadata={"help": "the scale is multiplied by this after growth_interval steps without overflow"},
    )
    backoff_factor: float = attrs.field(
        default=0.5,
        validator=number("a number between 0 and 1, both excluded", lambda x: 0 < x < 1),
        metadata={"help": "the scale is multiplied by this after an overflow"},
    )
    growth_interval: int = attrs.field(
        default=2000, validator=integer(1), metadata={"help": "steps without overflow before the scale grows"}
    )
    min_scale: float = attrs.field(
        default=1.0,
        validator=number("a number > 0", lambda x: x > 0),
        metadata={"help": "an overflow at this scale is an error, since a smaller scale would not cure it"},
    )
    max_scale: float = attrs.field(
        default=2.0**24, validator=number("a number > 0", lambda x: x > 0), metadata={"help": "the scale stays below"}
    )
    policy: OverflowPolicy = attrs.field(
        default="independent",
        validator=one_of("independent", "generator_waits"),
        metadata={
            "help": "independent: each network skips a step for its own overflow alone; generator_waits: the "
            "generator also skips the step in which the discriminator overflowed"
        },
    )

    def __attrs_post_init__(self) -> None:
        if not self.min_scale <= self.init_scale <= self.max_scale:
            allowed = f"a number between min_scale {self.min_scale:g} and max_scale {self.max_scale:g}"
            raise ConfigError("init_scale", self.init_scale, allowed)


@attrs.frozen(kw_only=True)
class ScaleState:
    """The scale, how many good steps in a row it has seen, and how many steps were skipped since the start."""

    scale: float
    good_steps: int = 0
    skipped_total: int = 0


@attrs.frozen(kw_only=True)
class ScalerReport:
    """What one update did.

    Attributes:
        scale: the loss scale for the next step (1 where scaling is off).
        skipped: whether the optimizer's step was left out.
        skipped_total: how many steps this scaler has left out so far, held-back ones included.
        overflowed: whether this network's own gradients were not finite (else it was held back for its partner).
    """

    scale: float
    skipped: bool
    skipped_total: int
    overflowed: bool = False


@attrs.frozen(kw_only=True)
class Decision:
    """Which of the two networks may take its step."""

    generator: bool
    discriminator: bool


def resolve_overflow(
    *, generator_overflowed: bool, discriminator_overflowed: bool, policy: OverflowPolicy = "independent"
) -> Decision:
    """Decide which network steps when gradients overflow. Nobody ever steps with gradients that are not finite.

    `independent`: each network goes by its own gradients. A skipped update of one is then a step in which the other
    moved alone, which a GAN stands, since overflows are rare and a scale that is halved soon fits.
    `generator_waits`: the generator also waits when the discriminator has overflowed, so it never moves against a
    discriminator that missed the same frame. (The reverse cannot be: the discriminator is updated first.)
    """
    waits = policy == "generator_waits" and discriminator_overflowed
    return Decision(generator=not generator_overflowed and not waits, discriminator=not discriminator_overflowed)


def next_scale(config: ScalerConfig, state: ScaleState, *, overflowed: bool) -> ScaleState:
    """The scale after one step. Pure; counts an overflow as a skipped step."""
    if overflowed:
        scale = max(state.scale * config.backoff_factor, config.min_scale)
        return ScaleState(scale=scale, good_steps=0, skipped_total=state.skipped_total + 1)
    if state.good_steps + 1 < config.growth_interval:
        return attrs.evolve(state, good_steps=state.good_steps + 1)
    scale = min(state.scale * config.growth_factor, config.max_scale)
    return attrs.evolve(state, scale=scale, good_steps=0)


class LossScaler:
    """Scale of the loss of one network; with scaling off it multiplies by nothing and checks nothing.

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
        return loss.float() * self.state.scale if self.enabled else loss

    def rest(self) -> ScalerReport:
        """What there is to report of a network that was not updated."""
        return ScalerReport(scale=self.state.scale, skipped=False, skipped_total=self.state.skipped_total)

    def update(self, optimizer: torch.optim.Optimizer, *, may_step: bool = True) -> ScalerReport:
        """Unscale the gradients in place, step if they are finite and `may_step`, and move the scale.

        Args:
            optimizer: whose gradients to unscale and check, and whose step to take.
            may_step: False holds the step back (see `resolve_overflow`); it counts as skipped.

        Raises:
            GradientOverflowError: gradients are not finite at the smallest scale.
            StateError: the scaler was given names, and they are not as many as the optimizer has parameters.
        """
        overflowed = self.enabled and self._unscale(_parameters(optimizer))
        if may_step and not overflowed:
            optimizer.step()
        if self.enabled:
            self.state = next_scale(self.config, self.state, overflowed=overflowed)
        if not may_step and not overflowed:
            self.state = attrs.evolve(self.state, skipped_total=self.state.skipped_total + 1)
        return ScalerReport(
            scale=self.state.scale,
            skipped=overflowed or not may_step,
            skipped_total=self.state.skipped_total,
            overflowed=overflowed,
        )

    def _unscale(self, parameters: list[Tensor]) -> bool:
        """Divide gradients in place by the scale; whether any of them is not finite."""
        if self.names and len(self.names) != len(parameters):
            raise StateError("loss scaler", f"{len(self.names)} names for {len(parameters)} parameters")
        found = [(i, p.grad) for i, p in enumerate(parameters) if p.grad is not None and p.grad.numel() > 0]
        if not found:
            return False
        gradients = [gradient for _, gradient in found]
        torch._foreach_mul_(gradients, 1.0 / self.state.scale)
        verdicts = finite(gradients).tolist()  # the one wait for the device
        if all(verdicts):
            return False
        if self.state.scale <= self.config.min_scale:
            bad = tuple(index for (index, _), good in zip(found, verdicts, strict=True) if not good)
            raise GradientOverflowError(self.state.scale, bad, tuple(self.names[i] for i in bad if self.names))
        return True

    def state_dict(self) -> dict[str, float | int]:
        """Plain numbers: `scale`, `good_steps`, `skipped_total`."""
        return attrs.asdict(self.state)

    def load_state_dict(self, state: Mapping[str, float | int]) -> None:
        """Go on from what `state_dict` gave; with scaling off the scale stays 1 and only the count is taken over.

        Raises:
            StateError: a key is missing or unknown.
        """
        expected = {"scale", "good_steps", "skipped_total"}
        if set(state) != expected:
            raise StateError("loss scaler", f"expected the keys {sorted(expected)}, got {sorted(state)}")
        loaded = ScaleState(
            scale=float(state["scale"]), good_steps=int(state["good_steps"]), skipped_total=int(state["skipped_total"])
        )
        self.state = loaded if self.enabled else attrs.evolve(self.state, skipped_total=loaded.skipped_total)


def build_scaler(
    config: ScalerConfig, precision: Precision, device: torch.device | str, *, names: Sequence[str] = ()
) -> LossScaler:
    """The scaler of one network; active exactly where `precision.scaling` is.

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
