"""What would help the layers at risk: a larger eps, float32 islands, another loss scale."""

import math
from collections.abc import Iterator, Mapping, Sequence

import attrs

from vs_eval.numerics.execution import Changes
from vs_eval.numerics.facts import LayerFacts, NormFacts, noise_gain
from vs_eval.numerics.score import Score
from vs_eval.numerics.trace import LayerKey, Trace, is_below

QUIET = 4.0
"""Noise gain that a proposed eps leaves at most: two bits, where an alarm is three."""


@attrs.frozen(kw_only=True)
class Proposal:
    """A proposal: something that would help.

    Attributes:
        kind: `eps`, `islands` or `scale`.
        title: in a few words.
        text: what to do, and why it helps.
        changes: how to do it to the networks.
        scales: update -> its new loss scale.
        layers: the layers at risk that it is for.
        where: the modules that it changes, each with its new value where it has one.
    """

    kind: str
    title: str
    text: str
    changes: Changes = attrs.field(factory=Changes)
    scales: Mapping[str, float] = attrs.field(factory=dict)
    layers: tuple[LayerKey, ...] = ()
    where: Mapping[str, float | None] = attrs.field(factory=dict)


def propose(
    at_risk: Sequence[tuple[LayerFacts, Score]],
    layers: Sequence[LayerFacts],
    trace: Trace,
    better_scales: Mapping[str, float],
) -> Iterator[Proposal]:
    """Yield proposals for the layers at risk, each kind at most once.

    Args:
        at_risk: layers whose score is an alarm.
        layers: all of them.
        trace: of the reference, which knows what is part of what.
        better_scales: update -> loss scale that would be better than the one it has.
    """
    larger = _larger_eps(at_risk, layers, trace)
    if larger:
        yield larger
    if at_risk:
        where = dict.fromkeys(place for layer, _ in at_risk for place in _island(layer, trace))
        yield Proposal(
            kind="islands",
            title="float32 islands",
            text="These modules compute in float32, so that nothing in them is rounded to the format before it is "
            "amplified, and gradients within them may be large. It costs time and memory; the function stays as it is.",
            changes=Changes(islands=frozenset(where)),
            layers=tuple(layer.key for layer, _ in at_risk),
            where={".".join(filter(None, place)): None for place in where},
        )
    if better_scales:
        shown = ", ".join(f"{scale:g} for the {update}" for update, scale in better_scales.items())
        yield Proposal(
            kind="scale",
            title=f"another loss scale ({shown})",
            text="The largest at which no gradient comes near overflow; a scaler finds it by itself, in time.",
            scales=better_scales,
            where=better_scales,
        )


def _larger_eps(
    at_risk: Sequence[tuple[LayerFacts, Score]], layers: Sequence[LayerFacts], trace: Trace
) -> Proposal | None:
    """Propose a larger eps for the norms at risk, and for those with the same module and eps: they share a setting."""
    known = {layer.key: layer.norm for layer in layers if layer.norm is not None}
    wanted: dict[tuple[LayerKey, float], float] = {}
    concerned = []
    for layer, score in at_risk:
        if layer.norm is not None and score.cause in ("cancellation", "gradient range"):
            setting = part_of(layer.key, trace), layer.norm.eps
            wanted[setting] = max(wanted.get(setting, 0.0), enough_eps(layer.norm, score.gradient_range))
            concerned.append(layer.key)
    changed: dict[LayerKey, float] = {}
    for (part, before), eps in wanted.items():
        same = (key for key, norm in known.items() if part_of(key, trace) == part and math.isclose(norm.eps, before))
        changed |= dict.fromkeys(same, eps)
    if not changed:
        return None
    where = {".".join(filter(None, part)): eps for (part, _), eps in wanted.items()}
    return Proposal(
        kind="eps",
        title="a larger eps",
        text="A plane without variance is divided by sqrt(eps) at most, so that neither rounding errors nor gradients "
        "grow so much; planes whose variance is well above the new eps hardly change. It changes the function: train "
        "with it.",
        changes=Changes(eps=changed),
        layers=tuple(concerned),
        where=where,
    )


def enough_eps(norm: NormFacts, bits: float = 0.0) -> float:
    """Return the first of 0.1, 1, 10, ... that is above the eps there is and is enough.

    Enough is: a noise gain of at most `QUIET`, and the largest amplification of gradients smaller by so many bits.
    Nothing below 0.1 is tried: with a larger eps in one layer the variances that the next ones meet shrink too, and 0.1
    is what the talk found to be enough for a whole encoder.
    """
    variance = norm.moments[0].min().item()

    def is_enough(eps: float) -> bool:
        calmer = math.sqrt((variance + eps) / (variance + norm.eps)) >= 2.0**bits
        return eps > norm.eps * 1.01 and calmer and noise_gain(norm.moments, eps) <= QUIET

    return next(value for power in range(-1, 39) if is_enough(value := float(f"1e{power}")))


def part_of(key: LayerKey, trace: Trace) -> LayerKey:
    """Return what a normalisation is a part of: the smallest called module that holds several of them, or itself."""
    network, name = key
    while name:
        name = name.rpartition(".")[0]
        inside = [norm for norm in trace.norms if norm[0] == network and is_below(norm[1], name)]
        if (network, name) in trace.called and len(inside) > 1:
            return network, name
    return key


def _island(layer: LayerFacts, trace: Trace) -> list[LayerKey]:
    """Return where float32 helps a layer: the part a normalisation belongs to, or the layer and what feeds it."""
    part = part_of(layer.key, trace) if layer.norm is not None else layer.key
    if part != layer.key and part[1]:
        return [part]
    return [layer.key] + ([layer.fed_by] if layer.norm is not None and layer.fed_by is not None else [])
