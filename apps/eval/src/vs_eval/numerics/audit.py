"""The audit: a step in a low precision beside a reference, the layers at risk, what would help, and whether it does."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import torch

from vs_eval.numerics.execution import Changes, Workload, run_low, run_reference
from vs_eval.numerics.facts import LayerFacts, layer_facts
from vs_eval.numerics.proposals import Proposal, propose
from vs_eval.numerics.ranges import Format, combined
from vs_eval.numerics.score import ALARM, Score, score_layers, typical_gradient
from vs_eval.numerics.trace import LayerKey, Trace, Watched, is_below

MAX_SCALE = 2.0**24
"""The largest loss scale that is ever proposed."""

LOST = 0.01
"""Fraction of lost gradients above which a larger loss scale is looked for."""

NOTHING_CHANGED = Changes()

Say = Callable[[str], None]
"""Told, in words, what is being done."""


@attrs.frozen(kw_only=True, eq=False)
class Finding:
    """A layer and its score."""

    layer: LayerFacts
    score: Score

    @property
    def at_risk(self) -> bool:
        """Whether the score is an alarm."""
        return self.score.total >= ALARM


@attrs.frozen(kw_only=True)
class Totals:
    """Figures of a whole run.

    Attributes:
        at_risk: how many layers are.
        worst: the largest score, bits.
        output_error: the largest relative error of a layer's output.
        weight_error: median over layers of the relative error of the gradient of their weights; None without any.
        broken: fraction of gradients that are infinite or no number.
        lost: fraction of gradients that are zero in the format and not in the reference.
        fitting: update -> the largest loss scale, a power of 2, at which no gradient overflows.
    """

    at_risk: int
    worst: float
    output_error: float
    weight_error: float | None
    broken: float
    lost: float
    fitting: Mapping[str, float]


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """A result of one run: findings in the order of execution, and totals."""

    findings: tuple[Finding, ...]
    totals: Totals
    scales: Mapping[str, float]

    @property
    def ranked(self) -> tuple[Finding, ...]:
        """The findings, worst first."""
        return tuple(sorted(self.findings, key=lambda finding: -finding.score.total))

    def of(self, key: LayerKey) -> Finding:
        """Return the finding of one layer."""
        return next(finding for finding in self.findings if finding.layer.key == key)


@attrs.frozen(kw_only=True, eq=False)
class Effect:
    """A proposal and what came of it."""

    proposal: Proposal
    result: Result


@attrs.frozen(kw_only=True, eq=False)
class Audit:
    """An audit: what was found as things are, and with each proposal.

    Attributes:
        form: the format.
        reference: dtype of the reference.
        result: as things are.
        effects: each proposal, re-run.
        silent: layers with parameters that took no part in the step.
    """

    form: Format
    reference: torch.dtype
    result: Result
    effects: tuple[Effect, ...]
    silent: tuple[LayerKey, ...]


def audit(
    workload: Workload,
    form: Format,
    *,
    reference: torch.dtype = torch.float64,
    scales: Mapping[str, float] | None = None,
    start_scale: float = 2.0**16,
    say: Say = lambda _: None,
) -> Audit:
    """Run a step in two precisions, and again with each proposal. The networks of the workload stay as they are.

    Args:
        workload: what to run.
        form: the low precision.
        reference: dtype of the reference.
        scales: network -> loss scale of its update; None: in float16 what a scaler would come to that starts at
            `start_scale` and halves while gradients overflow, in formats with the range of float32 1.
        start_scale: see `scales`.
        say: told what is being done.
    """
    rule = _rule(form, scales, start_scale)
    exact, result = examine(workload, form, reference=reference, scales=scales, start_scale=start_scale, say=say)
    effects = []
    at_risk = [(finding.layer, finding.score) for finding in result.ranked if finding.at_risk]
    layers = [finding.layer for finding in result.findings]
    for proposal in propose(at_risk, layers, exact, better_scales(exact, form, result)):
        say(f"again with {proposal.title}")
        changes = proposal.changes
        after = run_reference(workload, reference, changes, exact.norms) if changes.eps else exact
        held = {**rule(after, changes), **proposal.scales}
        low = run_low(workload, form, changes, exact.norms, held)
        effects.append(Effect(proposal=proposal, result=compare_runs(after, low, form, held, changes)))
    return Audit(form=form, reference=reference, result=result, effects=tuple(effects), silent=exact.silent)


def examine(
    workload: Workload,
    form: Format,
    *,
    reference: torch.dtype = torch.float64,
    scales: Mapping[str, float] | None = None,
    start_scale: float = 2.0**16,
    say: Say = lambda _: None,
) -> tuple[Trace, Result]:
    """Do the first part of `audit`: the step in two precisions as things are; also what was seen of the reference."""
    say(f"reference in {str(reference).removeprefix('torch.')}")
    exact = run_reference(workload, reference, Changes(), None)
    held = _rule(form, scales, start_scale)(exact, NOTHING_CHANGED)
    say(f"the same in {form.name}")
    low = run_low(workload, form, NOTHING_CHANGED, exact.norms, held)
    return exact, compare_runs(exact, low, form, held)


def _rule(
    form: Format, scales: Mapping[str, float] | None, start_scale: float
) -> Callable[[Trace, Changes], Mapping[str, float]]:
    """Return how loss scales come about."""

    def rule(trace: Trace, changes: Changes) -> Mapping[str, float]:
        return fitting_scales(trace, form, start_scale, changes) if scales is None else scales

    return rule


def compare_runs(
    exact: Trace, low: Trace, form: Format, scales: Mapping[str, float], changes: Changes = NOTHING_CHANGED
) -> Result:
    """Return facts, scores and totals of two runs of the same step, in which something was changed."""
    layers = layer_facts(exact, low, form, scales)
    scores = score_layers(layers, form, typical_gradient(layers))
    findings = tuple(Finding(layer=layer, score=score) for layer, score in zip(layers, scores, strict=True))
    fitting = fitting_scales(exact, form, MAX_SCALE, changes)
    return Result(findings=findings, totals=_totals(findings, form, fitting), scales=dict(scales))


def fitting_scales(exact: Trace, form: Format, limit: float, changes: Changes = NOTHING_CHANGED) -> dict[str, float]:
    """Return update -> the largest power of 2, times `limit` and not above it, at which no gradient nears overflow.

    That is, none of the reference is above half of the format's largest number: those of the low precision differ a
    little. What is in a float32 island cannot overflow. Formats with the range of float32 need no scaling: 1.
    """
    largest: dict[str, float] = {}
    for seen in _gradients(exact, changes.islands):
        largest[seen.update] = max(largest.get(seen.update, 0.0), seen.magnitudes.largest)
    if form.normal < -100:
        return dict.fromkeys(largest, 1.0)
    return {
        update: limit * 2.0 ** min(0, math.floor(math.log2(form.largest / (2 * limit * size)))) if size else limit
        for update, size in largest.items()
    }


def better_scales(exact: Trace, form: Format, result: Result) -> dict[str, float]:
    """Return update -> the scale to take instead of one at which gradients overflow, or too many are lost."""
    better = {}
    for update, fits in result.totals.fitting.items():
        scale = result.scales.get(update, 1.0)
        lost = combined(seen.magnitudes for seen in _gradients(exact, frozenset()) if seen.update == update).scaled(
            scale
        )
        if scale > 2 * fits or (scale < fits and lost.fraction_lost(form) > LOST):
            better[update] = fits
    return better


def _gradients(trace: Trace, islands: frozenset[LayerKey]) -> Iterator[Watched]:
    for (network, name), calls in trace.calls.items():
        if any(network == island[0] and (name == island[1] or is_below(name, island[1])) for island in islands):
            continue
        for call in calls:
            yield from (seen for seen in (call.output_gradient, call.input_gradient) if seen is not None)


def _totals(findings: Sequence[Finding], form: Format, fitting: Mapping[str, float]) -> Totals:
    layers = [finding.layer for finding in findings]
    spans = [span for one in layers for span in (one.output_gradient, one.input_gradient) if span and not span.wide]
    counts = [span.exact.count for span in spans]
    everything = max(sum(counts), 1)
    outputs = [one.output.error for one in layers if one.output is not None and one.output.error is not None]
    weights = [
        one.weight_gradient.error for one in layers if one.weight_gradient and one.weight_gradient.error is not None
    ]
    return Totals(
        at_risk=sum(finding.at_risk for finding in findings),
        worst=max((finding.score.total for finding in findings), default=0.0),
        output_error=max(outputs, default=0.0),
        weight_error=statistics.median(weights) if weights else None,
        broken=sum(span.broken * count for span, count in zip(spans, counts, strict=True)) / everything,
        lost=sum(span.exact.fraction_lost(form) * count for span, count in zip(spans, counts, strict=True))
        / everything,
        fitting=fitting,
    )
