"""What was found: tables for people, a record for the file."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from rich.table import Table

from vs_bench.ruler.faults import Fault
from vs_bench.ruler.measuring import Estimator
from vs_bench.ruler.metrics import Metric
from vs_bench.ruler.responses import Response
from vs_bench.tables import plain_table

ORDERLY = 0.9
"""Rank correlation below which a response is no measure of a fault's size, even if it is visible."""

RULE = (
    "visible from: the smallest size from which on the mean change is larger than any that saving a clip as a video "
    "makes; (in brackets): but for the better; ~: it does not grow with the size"
)


def cell_of(response: Response) -> str:
    """Return from which size on a fault is seen; in brackets where it is taken for an improvement.

    `~`: but the change does not grow with the size.
    """
    if response.visible is None:
        return "–"
    size = f"({response.visible:g})" if response.verdict == "rewards" else f"{response.visible:g}"
    return f"{size}{'' if abs(response.rank) >= ORDERLY else ' ~'}"


def table_of_responses(responses: Sequence[Response], title: str) -> Table:
    """Return all changes, fault by fault; the sizes of a fault stand beside its name."""
    columns = max(len(response.fault.sizes) for response in responses)
    sizes = [f"size {number + 1}" for number in range(columns)]
    table = plain_table(title, ["fault, metric", "without", "band", *sizes, "rank", "visible from"])
    table.caption = "changes from the true clips, above 0 for the worse, as means over clips"
    for fault in faults_of(responses):
        table.add_section()
        heads = [f"{size:g}" for size in fault.sizes]
        table.add_row(f"{fault.name}, {fault.unit}", "", "", *heads, *[""] * (columns - len(heads)))
        for response in responses:
            if response.fault.name == fault.name:
                table.add_row(*_cells(response))
    return table


def _cells(response: Response) -> list[str]:
    digits = response.metric.digits
    changes = [f"{change:+.{digits}f}" for change in response.changes]
    without = f"{statistics.fmean(response.true):.{digits}f}"
    band = f"±{response.band:.{digits}f}"
    return [f"  {_heading(response.metric)}", without, band, *changes, f"{response.rank:+.2f}", cell_of(response)]


def table_of_sight(responses: Sequence[Response], title: str) -> Table:
    """Return which metric sees which fault, and from which size on."""
    faults = faults_of(responses)
    table = plain_table(title, ["visible from", *(_head(fault) for fault in faults)])
    table.caption = RULE
    for metric in metrics_of(responses):
        row = {response.fault.name: cell_of(response) for response in responses if response.metric == metric}
        table.add_row(metric.title, *(row[fault.name] for fault in faults))
    return table


def table_of_bias(responses: Sequence[Response], estimator: Estimator, title: str) -> Table:
    """Return what temporal metrics say by exact and by estimated flow: of true clips, and of the largest faults."""
    bias = bias_of(responses)
    table = plain_table(title, ["levels of 255", *(f"{name}, {how}" for name in bias for how in ("exact", "DIS"))])
    for row in next(iter(bias.values())):
        cells = (bias[name][row] for name in bias)
        table.add_row(row, *(f"{value:.2f}" for cell in cells for value in (cell["exact"], cell["estimated"])))
    table.caption = (
        f"DIS is {estimator.error:.2f} pixels off, where the motion is {estimator.motion:.2f}; it trusts "
        f"{estimator.trusted:.0%} of all pixels, and {estimator.exact:.0%} are to be trusted"
    )
    return table


def bias_of(responses: Sequence[Response]) -> dict[str, dict[str, dict[str, float]]]:
    """Return by temporal metric what it says by exact and by estimated flow.

    Of true clips ("without fault") that is its value, of a fault of the largest size how much it changes that.
    """
    found = {(response.metric.name, response.fault.name): response for response in responses}
    faults = faults_of(responses)
    bias: dict[str, dict[str, dict[str, float]]] = {}
    for name in ("warping", "flicker"):
        pairs = {fault.name: (found[name, fault.name], found[f"{name}_estimated", fault.name]) for fault in faults}
        first = pairs[faults[0].name]
        bias[name] = {"without fault": _pair(*(statistics.fmean(each.true) for each in first))}
        for fault, pair in pairs.items():
            bias[name][fault] = _pair(*(each.changes[-1] for each in pair))
    return bias


def _pair(exact: float, estimated: float) -> dict[str, float]:
    return {"exact": exact, "estimated": estimated}


def record_of(responses: Sequence[Response], estimator: Estimator) -> dict[str, Any]:
    """Return what the file holds of a world."""
    return {
        "metrics": {metric.name: _metric_record(metric, responses) for metric in metrics_of(responses)},
        "bias": bias_of(responses),
        "estimator": attrs.asdict(estimator),
    }


def _metric_record(metric: Metric, responses: Sequence[Response]) -> dict[str, Any]:
    own = [response for response in responses if response.metric == metric]
    return {
        **attrs.asdict(metric),
        "true": own[0].true,
        "saved": own[0].saved,
        "band": own[0].band,
        "faults": {response.fault.name: _response_record(response) for response in own},
    }


def _response_record(response: Response) -> dict[str, Any]:
    return {
        "changes": response.changes,
        "rank": response.rank,
        "verdict": response.verdict,
        "visible": response.visible,
        "cell": cell_of(response),
        "values": response.planted,
    }


def fault_records(faults: Sequence[Fault]) -> Mapping[str, Any]:
    """Return what the file holds of the faults."""
    return {
        fault.name: {"unit": fault.unit, "sizes": fault.sizes, "explanation": fault.explanation} for fault in faults
    }


def faults_of(responses: Sequence[Response]) -> tuple[Fault, ...]:
    """Return the faults that there are responses to, in order."""
    return tuple({response.fault.name: response.fault for response in responses}.values())


def metrics_of(responses: Sequence[Response]) -> tuple[Metric, ...]:
    """Return the metrics that there are responses of, in order."""
    return tuple(dict.fromkeys(response.metric for response in responses))


def _head(fault: Fault) -> str:
    """Return a narrow heading: the words of a fault's name, and its unit."""
    return "\n".join([*fault.name.split(), fault.unit])


def _heading(metric: Metric) -> str:
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title
