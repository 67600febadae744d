"""Two networks that train against each other, one state of loss scaling, one decision.

A GAN updates D and then, by the losses that the new D gives it, G. Either may overflow, and what that means for the
other is decided here, by a pure function of what was found in both, the state and the configuration: `decide`.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from vs_optim.errors import StateError
from vs_optim.gradients import Finding
from vs_optim.pair import Network, Pair, both
from vs_optim.precision import Precision
from vs_optim.scaler import ScalerConfig, ScaleState, grown, left_out, lowered

Findings = Pair[Finding | None]
"""What was found in the gradients of each network; None: it was not updated."""

_UPDATED: tuple[Network, Network] = ("discriminator", "generator")
"""In the order of their updates."""

_NO_STEPS = Pair(generator=False, discriminator=False)


@attrs.frozen(kw_only=True)
class ScalingState:
    """Loss scaling of a generator and a discriminator. Frozen: `decide` returns the next one.

    Attributes:
        enabled: whether losses are scaled; if not, both scales are 1 for ever.
        scales: scale of each network's losses, and what it has seen.
        replays_total: how many times an update has been computed again so far.
    """

    enabled: bool
    scales: Pair[ScaleState]
    replays_total: int = 0


@attrs.frozen(kw_only=True)
class Divergence:
    """A reason why training cannot go on like this.

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
    """A decision on one update of both networks.

    Attributes:
        kind: `good`: everybody steps. `overflow`: a routine overflow, somebody's step is left out, go on.
            `replay`: nobody's step counts; compute the whole update again, with the new scales. `diverged`: stop.
        steps: whether the step of each network counts. The generator takes its own by this; the discriminator, which
            has taken its step already if its gradients were finite, keeps it or gives it back.
        state: loss scaling from now on.
        divergence: why, where the kind is `diverged`.
    """

    kind: Literal["good", "overflow", "replay", "diverged"]
    steps: Pair[bool]
    state: ScalingState
    divergence: Divergence | None = None


def decide(config: ScalerConfig, state: ScalingState, findings: Findings, *, replays: int = 0) -> Decision:
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
        findings: what was found in both gradients; None: that network was not updated, and its state stays as it is.
        replays: how many times this update has been computed again already.
    """
    if divergence := _hopeless(config, state, findings):
        return _diverged(state, divergence)
    paired = config.policy == "paired"
    decision = _paired(config, state, findings, replays) if paired else _single(config, state, findings)
    if decision.kind == "overflow":
        for network in _UPDATED:
            if decision.state.scales.of(network).skips_in_row >= config.max_skips:
                return _diverged(state, Divergence(reason="skips", network=network))
    return decision


def initial_scaling(config: ScalerConfig, precision: Precision) -> ScalingState:
    """Return the state before the first update: `init_scale` for both where `precision.scaling` is, else 1."""
    scale = ScaleState(scale=config.init_scale if precision.scaling else 1.0)
    return ScalingState(enabled=precision.scaling, scales=Pair(generator=scale, discriminator=scale))


def count_replay(state: ScalingState) -> ScalingState:
    """Return the state after an update that is computed again for another reason than an overflow. Pure."""
    return attrs.evolve(state, replays_total=state.replays_total + 1)


def scaling_to_dict(state: ScalingState) -> dict[str, Any]:
    """Return nested plain numbers, for a checkpoint: `generator`, `discriminator`, `replays_total`."""
    return {**attrs.asdict(state.scales), "replays_total": state.replays_total}


def scaling_from_dict(state: ScalingState, saved: Mapping[str, Any]) -> ScalingState:
    """Return `state` gone on from what `scaling_to_dict` gave; with scaling off scales stay 1, only totals go on.

    Raises:
        StateError: a key is missing or unknown, or a number is none.
    """
    _check_keys("precision state", saved, {"generator", "discriminator", "replays_total"})
    scales = both(lambda network: _scale_from_dict(network, saved[network]))
    if not state.enabled:
        scales = scales.map(lambda scale: attrs.evolve(scale, scale=1.0, good_steps=0))
    return attrs.evolve(state, scales=scales, replays_total=int(saved["replays_total"]))


def _hopeless(config: ScalerConfig, state: ScalingState, findings: Findings) -> Divergence | None:
    """Return what no smaller scale cures. A value that is not finite outranks an overflow: it explains it."""
    for network in _UPDATED:
        if findings.of(network) == "not_finite":
            return Divergence(reason="not_finite", network=network)
    for network in _UPDATED:
        at_floor = not state.enabled or state.scales.of(network).scale <= config.min_scale
        if findings.of(network) == "overflow" and at_floor:
            return Divergence(reason="floor", network=network)
    return None


def _diverged(state: ScalingState, divergence: Divergence) -> Decision:
    return Decision(kind="diverged", steps=_NO_STEPS, state=state, divergence=divergence)


def _single(config: ScalerConfig, state: ScalingState, findings: Findings) -> Decision:
    """Decide in the modes in which every network goes by its own gradients, and G perhaps by D's too."""
    d, g = findings.discriminator, findings.generator
    waits = config.policy == "generator_waits" and d == "overflow" and g == "finite"
    scales = Pair(
        discriminator=_moved(config, state, state.scales.discriminator, d),
        generator=left_out(state.scales.generator) if waits else _moved(config, state, state.scales.generator, g),
    )
    return Decision(
        kind="overflow" if "overflow" in (d, g) else "good",
        steps=Pair(discriminator=d == "finite", generator=g == "finite" and not waits),
        state=attrs.evolve(state, scales=scales),
    )


def _paired(config: ScalerConfig, state: ScalingState, findings: Findings, replays: int) -> Decision:
    """Decide in the mode in which both steps of an update count, or none."""
    if "overflow" not in (findings.discriminator, findings.generator):
        return _single(config, state, findings)
    scales = both(lambda network: _lowered_by(config, state.scales.of(network), findings.of(network)))
    if replays < config.max_replays:
        new = attrs.evolve(state, scales=scales, replays_total=state.replays_total + 1)
        return Decision(kind="replay", steps=_NO_STEPS, state=new)
    updated = findings.map(lambda finding: finding is not None)
    scales = both(lambda network: left_out(scales.of(network)) if updated.of(network) else scales.of(network))
    return Decision(kind="overflow", steps=_NO_STEPS, state=attrs.evolve(state, scales=scales))


def _lowered_by(config: ScalerConfig, scale: ScaleState, finding: Finding | None) -> ScaleState:
    return lowered(config, scale) if finding == "overflow" else scale


def _moved(config: ScalerConfig, state: ScalingState, scale: ScaleState, finding: Finding | None) -> ScaleState:
    if finding is None:
        return scale
    if finding == "overflow":
        return left_out(lowered(config, scale))
    return grown(config, scale) if state.enabled else attrs.evolve(scale, skips_in_row=0)


def _scale_from_dict(network: Network, saved: Any) -> ScaleState:
    what = f"precision state of the {network}"
    if not isinstance(saved, Mapping):
        raise StateError(what, f"expected a table of numbers, got {saved!r}")
    _check_keys(what, saved, {field.name for field in attrs.fields(ScaleState)})
    scale = float(saved["scale"])
    if not 0 < scale < math.inf:
        raise StateError(what, f"expected a finite scale > 0, got {scale}")
    counts = {key: int(saved[key]) for key in ("good_steps", "skips_in_row", "skipped_total")}
    return ScaleState(scale=scale, **counts)


def _check_keys(what: str, saved: Mapping[str, Any], expected: set[str]) -> None:
    if set(saved) != expected:
        raise StateError(what, f"expected the keys {sorted(expected)}, got {sorted(saved)}")
