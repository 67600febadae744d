"""The audit as tables for people and as JSON for programs."""

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch

from vs_eval.numerics.audit import Audit, Effect, Finding, Result, Totals
from vs_eval.numerics.facts import LayerFacts, NormFacts, Span
from vs_eval.numerics.ranges import LOWEST, Format
from vs_eval.numerics.score import ALARM, CAUSES
from vs_eval.report import Table

VERSION = 1
"""Of the JSON's layout."""

ROWS = 12
"""Rows of a table of layers on the terminal; the JSON has all."""

NOTHING = "–"


def audit_tables(audit: Audit) -> tuple[Table, ...]:
    """Return the worst layers, the normalisations among them, and what each proposal changes."""
    tables = [_layer_table(audit), _norm_table(audit)]
    if audit.effects:
        tables += [_effect_table(audit), _totals_table(audit)]
    return tuple(table for table in tables if table.rows)


def conclusions(audit: Audit) -> tuple[str, ...]:
    """Say what has been found, in sentences."""
    result = audit.result
    risky = [finding for finding in result.ranked if finding.at_risk]
    lines = [
        f"{finding.layer.name}: {finding.score.total:.1f} bits, {CAUSES[finding.score.cause]}"
        for finding in risky[:ROWS]
    ]
    head = f"{len(risky)} of {len(result.findings)} layers are at risk in {audit.form.name} ({ALARM:g} bits or more)"
    scales = ", ".join(
        f"{_number(scale)} for the {update} (up to {_number(result.totals.fitting.get(update, scale))} would fit)"
        for update, scale in result.scales.items()
    )
    lines = [f"{head}:" if risky else f"{head}.", *lines, f"loss scale: {scales}"]
    if audit.silent:
        names = ", ".join(".".join(filter(None, key)) for key in audit.silent[:4])
        lines.append(
            f"{len(audit.silent)} layers took no part in this step: {names}{', ...' if audit.silent[4:] else ''}"
        )
    return tuple(lines)


def proposal_lines(effect: Effect) -> tuple[str, ...]:
    """Return a proposal in words, and where it applies."""
    proposal = effect.proposal
    where = ", ".join(name if value is None else f"{name} = {_number(value)}" for name, value in proposal.where.items())
    return f"{proposal.title}: {where}", f"  {proposal.text}"


def _layer_table(audit: Audit) -> Table:
    typical = typical_amplification(audit.result)
    rows = tuple(_layer_row(finding, audit.form, typical) for finding in audit.result.ranked[:ROWS])
    heads = ("layer", "bits", "risk", "output", "gradient", "over/lost", "error", "g. error", "amplified")
    note = (
        "bits: how much a layer is at risk. output, gradient: largest magnitudes, the latter times the loss scale. "
        "over/lost: share of its gradients that overflow, and that become zero. error, g. error: of output and "
        "gradient, relative to the reference. amplified: norm of the gradient at the input over that at the output, "
        "and how many times the median of its network that is."
    )
    return Table(title="Layers, worst first", heads=heads, rows=rows, note=note)


def _layer_row(finding: Finding, form: Format, typical: Mapping[str, float]) -> tuple[str, ...]:
    layer = finding.layer
    amplified, usual = layer.amplification, typical.get(layer.key[0])
    over = _gradient_fraction(layer, lambda span: span.exact.fraction_above(form))
    lost = _gradient_fraction(layer, lambda span: span.exact.fraction_lost(form))
    return (
        layer.name,
        f"{finding.score.total:.1f}",
        finding.score.cause if finding.score.total else NOTHING,
        _power(layer.output),
        _power(layer.input_gradient or layer.output_gradient),
        NOTHING if over is None else f"{_percent(over)} / {_percent(lost)}",
        _number(layer.output.error if layer.output else None),
        _number(layer.output_gradient.error if layer.output_gradient else None),
        f"{_number(amplified)} (x{_number(amplified / usual)})" if amplified and usual else NOTHING,
    )


def _norm_table(audit: Audit) -> Table:
    heads = ("normalisation", "eps", "below eps", "variance", "1/sqrt(v + eps)", "noise gain")
    found = [(one.layer.name, one.layer.norm) for one in audit.result.findings if one.layer.norm is not None]
    found.sort(key=lambda pair: -pair[1].noise_gain)
    rows = tuple(
        (
            name,
            _number(norm.eps),
            _percent(norm.below_eps),
            f"{_number(norm.variances[1])} ({_number(norm.variances[0])})",
            f"{_number(norm.amplification[0])} ({_number(norm.amplification[1])})",
            _number(norm.noise_gain),
        )
        for name, norm in found[: ROWS // 2]
    )
    note = (
        "below eps: share of planes with less variance than eps. variance: median (least); 1/sqrt(v + eps): median "
        "(most), by which gradients are amplified. noise gain: by which rounding errors of the input grow; 1 is usual."
    )
    return Table(title="Normalisations, noisiest first", heads=heads, rows=rows, note=note)


def _effect_table(audit: Audit) -> Table:
    """Return for each layer at risk its score and the error of its output, before and after."""
    heads = ["layer", "bits", "error"]
    for effect in audit.effects:
        heads += [f"{effect.proposal.title}: bits", "error"]
    rows = []
    for finding in audit.result.ranked[:ROWS]:
        if finding.at_risk:
            same = [finding, *(effect.result.of(finding.layer.key) for effect in audit.effects)]
            cells = [
                (f"{one.score.total:.1f}", _number(one.layer.output.error if one.layer.output else None))
                for one in same
            ]
            rows.append((finding.layer.name, *(cell for pair in cells for cell in pair)))
    return Table(title="Layers at risk, before and after", heads=tuple(heads), rows=tuple(rows))


def _totals_table(audit: Audit) -> Table:
    columns = [audit.result, *(effect.result for effect in audit.effects)]
    heads = ("in all", "as it is", *(effect.proposal.title for effect in audit.effects))
    rows = (
        ("layers at risk", *(str(one.totals.at_risk) for one in columns)),
        ("worst score, bits", *(f"{one.totals.worst:.1f}" for one in columns)),
        ("largest error of a layer's output", *(_number(one.totals.output_error) for one in columns)),
        ("median error of weights' gradients", *(_number(one.totals.weight_error) for one in columns)),
        ("gradients infinite or no number", *(_percent(one.totals.broken) for one in columns)),
        ("gradients lost", *(_percent(one.totals.lost) for one in columns)),
        *(
            (f"loss scale that fits the {update}", *(_number(one.totals.fitting.get(update)) for one in columns))
            for update in audit.result.totals.fitting
        ),
    )
    return Table(title="Before and after", heads=heads, rows=rows)


def typical_amplification(result: Result) -> Mapping[str, float]:
    """Return network -> median over its layers of how much they amplify gradients."""
    found: dict[str, list[float]] = {}
    for finding in result.findings:
        if finding.layer.amplification is not None:
            found.setdefault(finding.layer.key[0], []).append(finding.layer.amplification)
    return {network: statistics.median(values) for network, values in found.items()}


def audit_json(audit: Audit, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything as JSON values; what is infinite or unknown is null."""
    return {
        "version": VERSION,
        **facts,
        "format": _format_json(audit.form),
        "reference": str(audit.reference).removeprefix("torch."),
        "alarm_bits": ALARM,
        "causes": dict(CAUSES),
        "silent": [".".join(filter(None, key)) for key in audit.silent],
        **_result_json(audit.result, audit.form, histograms=True),
        "proposals": [
            {
                "kind": effect.proposal.kind,
                "title": effect.proposal.title,
                "text": effect.proposal.text,
                "where": dict(effect.proposal.where),
                "for": [".".join(filter(None, key)) for key in effect.proposal.layers],
                "after": _result_json(effect.result, audit.form, histograms=False),
            }
            for effect in audit.effects
        ],
    }


def _format_json(form: Format) -> dict[str, Any]:
    return {
        "name": form.name,
        "largest": form.largest,
        "smallest_normal": 2.0**form.normal,
        "smallest": form.smallest,
        "bits": form.bits,
    }


def _result_json(result: Result, form: Format, *, histograms: bool) -> dict[str, Any]:
    typical = typical_amplification(result)
    return {
        "loss_scales": dict(result.scales),
        "totals": _totals_json(result.totals),
        "ranking": [finding.layer.name for finding in result.ranked if finding.at_risk],
        "layers": [_finding_json(finding, form, typical, histograms=histograms) for finding in result.findings],
    }


def _totals_json(totals: Totals) -> dict[str, Any]:
    return {
        "at_risk": totals.at_risk,
        "worst_bits": totals.worst,
        "output_error": totals.output_error,
        "weight_gradient_error": totals.weight_error,
        "gradients_broken": totals.broken,
        "gradients_lost": totals.lost,
        "fitting_loss_scales": dict(totals.fitting),
    }


def _finding_json(finding: Finding, form: Format, typical: Mapping[str, float], *, histograms: bool) -> dict[str, Any]:
    layer = finding.layer
    usual = typical.get(layer.key[0])
    spans = {
        "output": layer.output,
        "input": layer.input,
        "output_gradient": layer.output_gradient,
        "input_gradient": layer.input_gradient,
        "weight_gradient": layer.weight_gradient,
    }
    return {
        "name": layer.name,
        "network": layer.key[0],
        "module": layer.key[1],
        "kind": layer.kind,
        "calls": layer.calls,
        "score": finding.score.total,
        "scores": dict(finding.score.parts),
        "cause": finding.score.cause if finding.score.total else None,
        "at_risk": finding.at_risk,
        "growth": layer.growth,
        "amplification": layer.amplification,
        "amplification_over_typical": layer.amplification / usual if layer.amplification and usual else None,
        "noise_growth": layer.noise_growth,
        "norm": None if layer.norm is None else _norm_json(layer.norm),
        **{
            name: None if span is None else _span_json(span, form, histograms=histograms)
            for name, span in spans.items()
        },
    }


def _norm_json(norm: NormFacts) -> dict[str, Any]:
    return {
        "over": norm.planes_over,
        "eps": norm.eps,
        "planes": norm.planes,
        "below_eps": norm.below_eps,
        "variance": dict(zip(("least", "median", "most"), norm.variances, strict=True)),
        "amplification": dict(zip(("median", "most"), norm.amplification, strict=True)),
        "noise_gain": norm.noise_gain,
    }


def _span_json(span: Span, form: Format, *, histograms: bool) -> dict[str, Any]:
    exact = span.exact
    found: dict[str, Any] = {
        "elements": exact.count,
        "dtype": "float32" if span.wide else form.name,
        "largest": exact.largest,
        "smallest": exact.smallest if math.isfinite(exact.smallest) else None,
        "rms": exact.rms,
        "zeros": exact.zeros / max(exact.count, 1),
        "over": exact.fraction_above(form),
        "subnormal": exact.fraction_subnormal(form),
        "lost": exact.fraction_lost(form),
        "broken": span.broken,
        "error": span.error,
    }
    if histograms:
        used = torch.nonzero(exact.counts).flatten().tolist()
        found["exponents"] = {str(index + LOWEST): int(exact.counts[index]) for index in used}
    return found


def _gradient_fraction(layer: LayerFacts, fraction: Callable[[Span], float]) -> float | None:
    spans = [span for span in (layer.output_gradient, layer.input_gradient) if span is not None and not span.wide]
    return max((fraction(span) for span in spans), default=None)


def _power(span: Span | None) -> str:
    return NOTHING if span is None or not span.exact.largest else f"2^{math.log2(span.exact.largest):.0f}"


def _percent(fraction: float | None) -> str:
    if fraction is None:
        return NOTHING
    return "0 %" if fraction == 0 else ("< 0.1 %" if fraction < 0.001 else f"{100 * fraction:.1f} %")


def _number(value: float | None) -> str:
    """Write a number with two digits; powers of 2 above a hundred as such."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value > 100 and math.log2(value).is_integer():
        return f"2^{math.log2(value):.0f}"
    return f"{value:.2g}" if value < 10 or value >= 1e6 else f"{value:.0f}"
