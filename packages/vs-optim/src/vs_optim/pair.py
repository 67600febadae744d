"""Two networks that train against each other, one precision state, one decision.

A GAN updates D and then, judged by the new D, G. Either may overflow, and what that means for the other is decided
here, by a pure function of what was found in both, the state and the configuration: `decide`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from vs_optim.errors import StateError
from vs_optim.gradients import Finding
from vs_optim.precision import Precision
from vs_optim.scaler import ScalerConfig, ScaleState, grown, left_out, lowered

__all__ = [
    "Decision",
    "Divergence",
    "Network",
    "PairState",
    "count_replay",
    "decide",
    "initial_pair",
    "pair_from_dict",
    "pair_to_dict",
]

Network = Literal["generator", "discriminator"]

_NETWORKS: tuple[Network, Network] = ("discriminator", "generator")
"""In the order of their updates."""


@attrs.frozen(kw_only=True)
class PairState:
    """The precision state of a generator and a discriminator. Frozen: `decide` returns the next one.

    Attributes:
        scaling: whether losses are scaled; if not, both scales are 1 for ever.
        generator: scale of the generator's losses, and what it has seen.
        discriminator: the same of the discriminator's.
        replays_total: how many times an update has been computed again so far.
    """

    scaling: bool
    generator: ScaleState
    discriminator: ScaleState
    replays_total: int = 0


@attrs.frozen(kw_only=True)
class Divergence:
    """Why training cannot go on like this.

    Attributes:
        reason: `not_finite`: a loss or a parameter is not finite in float32. `floor`: gradients are not finite, and the
            loss scale is as small as it may get (1 without scaling). `skips`: `max_skips` updates in a row were left
            out.
        network: whose it is.
    """

    reason: Literal["not_finite", "floor", "skips"]
    network: Network


@attrs.frozen(kw_only=True)
class Decision:
    """What becomes of one update of the pair.

    Attributes:
        kind: `good`: everybody steps. `overflow`: a routine overflow, somebody's step is left out, go on.
            `replay`: nobody's step counts; compute the whole update again, with the new scales. `diverged`: stop.
        discriminator: whether the discriminator keeps its step (which it has taken already if its gradients were
            finite).
        generator: whether the generator takes its step.
        state: the precision state from now on.
        divergence: why, where the kind is `diverged`.
    """

    kind: Literal["good", "overflow", "replay", "diverged"]
    discriminator: bool
    generator: bool
    state: PairState
    divergence: Divergence | None = None


def decide(
    config: ScalerConfig,
    state: PairState,
    *,
    discriminator: Finding | None,
    generator: Finding | None,
    replays: int = 0,
) -> Decision:
    """Decide what becomes of an update of D and G. Pure, and total: every combination has a decision.

    Divergence comes first, whatever the mode; then the mode `config.policy` decides about overflows:

    | found                                           | decision | D's step  | G's step  | scales, counts              |
    |-------------------------------------------------|----------|-----------|-----------|-----------------------------|
    | a loss or parameter not finite in float32       | diverged | none      | none      | as they were                |
    | overflow at `min_scale`, or without scaling     | diverged | none      | none      | as they were                |
    | the `max_skips`-th skip in a row, in any mode   | diverged | none      | none      | as they were                |
    | no overflow                                     | good     | kept      | taken     | both count a good step      |
    | independent: D overflows                        | overflow | skipped   | taken     | D's lowered, G's good step  |
    | independent: G overflows                        | overflow | kept      | skipped   | G's lowered, D's good step  |
    | independent: both overflow                      | overflow | skipped   | skipped   | both lowered                |
    | generator_waits: D overflows                    | overflow | skipped   | skipped   | D's lowered, G's as it was  |
    | generator_waits: G, or both, overflow           |   as independent                                               |
    | paired: D, G or both overflow, replays left     | replay   | undone    | skipped   | lowered where it overflowed |
    | paired: the same, `max_replays` replays made    | overflow | undone    | skipped   | the same; both skip         |

    A lowered scale is multiplied by `backoff_factor`, never below `min_scale`, and its growth starts from 0; after
    `growth_interval` good steps it is multiplied by `growth_factor`, never above `max_scale`. A network whose step does
    not count in the end has one skip more, in all and in a row; a replayed update is no skip. "Undone" is for the
    caller: parameters, optimizer state and buffers of before the step (`keep_tensors`, `keep_optimizer`) are put back.

    Args:
        config: mode and numbers.
        state: before the update.
        discriminator: what was found in D's gradients; None: D was not updated, and its state stays as it is.
        generator: the same of G.
        replays: how many times this update has been computed again already.
    """
    found: dict[Network, Finding | None] = {"discriminator": discriminator, "generator": generator}
    if divergence := _hopeless(config, state, found):
        return _diverged(state, divergence)
    decision = _paired(config, state, found, replays) if config.policy == "paired" else _single(config, state, found)
    if decision.kind == "overflow":
        for network in _NETWORKS:
            if _of(decision.state, network).skips_in_row >= config.max_skips:
                return _diverged(state, Divergence(reason="skips", network=network))
    return decision


def initial_pair(config: ScalerConfig, precision: Precision) -> PairState:
    """The state before the first update: `init_scale` for both where `precision.scaling` is, else 1."""
    scale = ScaleState(scale=config.init_scale if precision.scaling else 1.0)
    return PairState(scaling=precision.scaling, generator=scale, discriminator=scale)


def count_replay(state: PairState) -> PairState:
    """The state after an update that is computed again for another reason than an overflow of gradients. Pure."""
    return attrs.evolve(state, replays_total=state.replays_total + 1)


def pair_to_dict(state: PairState) -> dict[str, Any]:
    """Nested plain numbers, for a checkpoint: `generator`, `discriminator`, `replays_total`."""
    return attrs.asdict(state, filter=attrs.filters.exclude("scaling"))


def pair_from_dict(state: PairState, saved: Mapping[str, Any]) -> PairState:
    """`state` gone on from what `pair_to_dict` gave; with scaling off the scales stay 1 and only totals are taken over.

    Raises:
        StateError: a key is missing or unknown, or a number is none.
    """
    _check_keys("precision state", saved, {"generator", "discriminator", "replays_total"})
    scales = {network: _scale_from_dict(network, saved[network]) for network in _NETWORKS}
    if not state.scaling:
        scales = {network: attrs.evolve(scale, scale=1.0, good_steps=0) for network, scale in scales.items()}
    return attrs.evolve(_with(state, scales), replays_total=int(saved["replays_total"]))


def _of(state: PairState, network: Network) -> ScaleState:
    return state.generator if network == "generator" else state.discriminator


def _with(state: PairState, scales: Mapping[Network, ScaleState]) -> PairState:
    return attrs.evolve(state, generator=scales["generator"], discriminator=scales["discriminator"])


def _hopeless(config: ScalerConfig, state: PairState, found: Mapping[Network, Finding | None]) -> Divergence | None:
    """What no smaller scale cures. A value that is not finite outranks an overflow: it explains it."""
    for network, finding in found.items():
        if finding == "not_finite":
            return Divergence(reason="not_finite", network=network)
    for network, finding in found.items():
        if finding == "overflow" and (not state.scaling or _of(state, network).scale <= config.min_scale):
            return Divergence(reason="floor", network=network)
    return None


def _diverged(state: PairState, divergence: Divergence) -> Decision:
    return Decision(kind="diverged", discriminator=False, generator=False, state=state, divergence=divergence)


def _single(config: ScalerConfig, state: PairState, found: Mapping[Network, Finding | None]) -> Decision:
    """Modes in which every network goes by its own gradients, and G perhaps by D's too."""
    d, g = found["discriminator"], found["generator"]
    waits = config.policy == "generator_waits" and d == "overflow" and g == "finite"
    new = attrs.evolve(
        state,
        discriminator=_moved(config, state, state.discriminator, d),
        generator=left_out(state.generator) if waits else _moved(config, state, state.generator, g),
    )
    kind: Literal["good", "overflow"] = "overflow" if "overflow" in (d, g) else "good"
    return Decision(kind=kind, discriminator=d == "finite", generator=g == "finite" and not waits, state=new)


def _paired(config: ScalerConfig, state: PairState, found: Mapping[Network, Finding | None], replays: int) -> Decision:
    """The mode in which both steps of an update count, or none."""
    if "overflow" not in found.values():
        return _single(config, state, found)
    scales = {network: _of(state, network) for network in _NETWORKS}
    scales |= {network: lowered(config, scales[network]) for network in _NETWORKS if found[network] == "overflow"}
    if replays < config.max_replays:
        new = attrs.evolve(_with(state, scales), replays_total=state.replays_total + 1)
        return Decision(kind="replay", discriminator=False, generator=False, state=new)
    scales |= {network: left_out(scales[network]) for network in _NETWORKS if found[network] is not None}
    return Decision(kind="overflow", discriminator=False, generator=False, state=_with(state, scales))


def _moved(config: ScalerConfig, state: PairState, scale: ScaleState, finding: Finding | None) -> ScaleState:
    if finding is None:
        return scale
    if finding == "overflow":
        return left_out(lowered(config, scale))
    return grown(config, scale) if state.scaling else attrs.evolve(scale, skips_in_row=0)


def _scale_from_dict(name: str, saved: Any) -> ScaleState:
    if not isinstance(saved, Mapping):
        raise StateError(f"precision state of the {name}", f"expected a table of numbers, got {saved!r}")
    _check_keys(f"precision state of the {name}", saved, {field.name for field in attrs.fields(ScaleState)})
    scale = float(saved["scale"])
    if not 0 < scale < math.inf:
        raise StateError(f"precision state of the {name}", f"expected a finite scale > 0, got {scale}")
    counts = {key: int(saved[key]) for key in ("good_steps", "skips_in_row", "skipped_total")}
    return ScaleState(scale=scale, **counts)


def _check_keys(what: str, saved: Mapping[str, Any], expected: set[str]) -> None:
    if set(saved) != expected:
        raise StateError(what, f"expected the keys {sorted(expected)}, got {sorted(saved)}")
