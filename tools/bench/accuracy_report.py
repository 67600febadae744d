"""What came out of the accuracy experiment: results of all arms, comparisons, the record that is kept, the table."""

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from accuracy_arm import HELD_OUT
from accuracy_plan import BASELINE, PLANTED, AccuracyError, Arm, Experiment, Level
from accuracy_verdict import Comparison, Verdict, compare, conclude, overall
from rich.table import Table
from vs_eval.measures import measure_of
from vs_train.config_io import to_document
from vs_train.metrics_log import read_metrics

JUDGED = ("psnr/generated", "ssim/generated")
"""The scores that decide, whatever the network; all others are compared and kept too."""

LOSS = re.compile(r"[dg]_\w+")
"""Names of losses among the fields of metrics.jsonl."""


@attrs.frozen(kw_only=True)
class Result:
    """What became of an arm.

    Attributes:
        level: name of its level.
        seed: its seed.
        diverged: whether training ended with values that are not finite.
        scores: name -> value on held-out clips; empty for a run that diverged.
        losses: name -> value of each training step; None in steps that do not have it.
    """

    level: str
    seed: int
    diverged: bool
    scores: Mapping[str, float]
    losses: Mapping[str, tuple[float | None, ...]]


@attrs.frozen(kw_only=True)
class Finding:
    """What an experiment says.

    Attributes:
        name: the experiment's.
        results: of all arms, level by level in the order of the plan, then by seed.
        comparisons: level -> score -> comparison with O0.
        verdicts: level -> score -> verdict, for the scores that decide.
    """

    name: str
    results: tuple[Result, ...]
    comparisons: Mapping[str, Mapping[str, Comparison]]
    verdicts: Mapping[str, Mapping[str, Verdict]]

    @property
    def levels(self) -> tuple[str, ...]:
        """All levels in order, O0 first and the planted fault last."""
        return tuple(dict.fromkeys(result.level for result in self.results))

    def scores_of(self, level: str, score: str) -> tuple[float, ...]:
        """The score of each seed of a level, nan for runs that diverged."""
        return tuple(r.scores.get(score, math.nan) for r in self.results if r.level == level)


def read_result(arm: Arm, out: Path) -> Result:
    """The result of a finished arm."""
    run = arm.run(out)
    held_out = json.loads((run.path / HELD_OUT).read_text("utf-8"))
    lines = list(read_metrics(run.metrics))
    names = sorted({name for line in lines for name in line if LOSS.fullmatch(name)})
    return Result(
        level=arm.level.name,
        seed=arm.seed,
        diverged=held_out["diverged"],
        scores=held_out["scores"],
        losses={name: tuple(line.get(name) for line in lines) for name in names},
    )


def find(name: str, results: Sequence[Result]) -> Finding:
    """Compare the levels of an experiment with O0, in every score of the generated videos.

    Raises:
        AccuracyError: a run in O0 diverged, so that there is nothing to compare with.
    """
    by_level: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.seed):
        by_level.setdefault(result.level, []).append(result)
    baseline, faulty = by_level.pop(BASELINE), by_level.pop(PLANTED)
    for result in baseline:
        if result.diverged:
            message = (
                f"{name}: the run in {BASELINE} with seed {result.seed} diverged: there is nothing to compare with"
            )
            raise AccuracyError(message)
    scores = [score for score in baseline[0].scores if score.endswith("/generated")]
    comparisons = {
        level: {score: compare(_column(baseline, score), _column(arm, score)) for score in scores}
        for level, arm in {**by_level, PLANTED: faulty}.items()
    }
    planted = comparisons[PLANTED]
    verdicts = {
        level: {score: conclude(compared[score], planted[score]) for score in JUDGED}
        for level, compared in comparisons.items()
        if level != PLANTED
    }
    ordered = tuple(result for arm in (baseline, *by_level.values(), faulty) for result in arm)
    return Finding(name=name, results=ordered, comparisons=comparisons, verdicts=verdicts)


def _column(results: Sequence[Result], score: str) -> list[float]:
    return [result.scores.get(score, math.nan) for result in results]


def shown(score: str, value: float) -> str:
    """A difference or a spread in the digits and the unit of its score, such as `+0.12 dB`."""
    measure = measure_of(score)
    return f"{value:.{measure.digits + 1}f}{f' {measure.unit}' if measure.unit else ''}"


def title(score: str) -> str:
    """What a score is called, such as `PSNR`."""
    return measure_of(score).title


def statements(finding: Finding, fault: str) -> tuple[str, ...]:
    """The conclusion on each level, and on the fault, in a sentence or two each.

    Args:
        finding: what was found.
        fault: what was planted, in words.
    """
    planted = finding.comparisons[PLANTED]
    seen = [title(score) for score in JUDGED if planted[score].outside]
    power = f"seen in {' and '.join(seen)}" if seen else "not seen: the experiment has no power"
    said = [
        f"{finding.name}, {level} against {BASELINE}: {overall(verdicts)}. "
        + "; ".join(_sentence(score, finding.comparisons[level][score], verdicts[score]) for score in verdicts)
        + "."
        for level, verdicts in finding.verdicts.items()
    ]
    lost = "; ".join(f"{title(score)} {_difference(score, planted[score])}" for score in JUDGED)
    return (*said, f"{finding.name}, planted fault ({fault}): {power}. {lost}.")


def _sentence(score: str, compared: Comparison, verdict: Verdict) -> str:
    spread = f"the spread between seeds is {shown(score, compared.spread)}"
    note = ""
    if verdict == "no difference seen":
        note = f", and {shown(score, compared.threshold)} or more would have been seen"
        if compared.consistent:
            note += " (the interval lacks 0: a difference, but less than another seed makes)"
    elif verdict == "no power":
        note = ", and the planted fault is not seen in it"
    return f"{title(score)} {_difference(score, compared)}, {spread}{note}"


def _difference(score: str, compared: Comparison) -> str:
    if math.isnan(compared.mean):
        return "has no value, since a run diverged"
    low, high = compared.interval
    return f"differs by {shown(score, compared.mean)} (95 %: {shown(score, low)} to {shown(score, high)})"


def table_of(findings: Sequence[Finding]) -> Table:
    """A row for each experiment, deciding score and level: mean and spread over seeds, difference, verdict."""
    table = Table(title="held-out clips, averaged generator, own roll-out", title_justify="left")
    for heading in ("network", "score", "level", "mean", "sd", "difference to O0", "95 %", "threshold", "verdict"):
        left = heading in ("network", "score", "level", "verdict")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading != "verdict")
    for finding in findings:
        for score in JUDGED:
            for level in finding.levels:
                table.add_row(*_row(finding, score, level), end_section=level == finding.levels[-1])
    return table


def _row(finding: Finding, score: str, level: str) -> tuple[str, ...]:
    digits = measure_of(score).digits + 1
    values = finding.scores_of(level, score)
    spread = statistics.stdev(values) if all(math.isfinite(value) for value in values) else math.nan
    row = (finding.name, title(score), level, f"{statistics.fmean(values):.{digits}f}", f"{spread:.{digits}f}")
    if level == BASELINE:
        return (*row, "", "", "", "")
    compared = finding.comparisons[level][score]
    low, high = compared.interval
    verdict = (
        finding.verdicts[level][score] if level in finding.verdicts else "seen" if compared.outside else "not seen"
    )
    interval = f"{low:+.{digits}f} to {high:+.{digits}f}"
    return (*row, f"{compared.mean:+.{digits}f}", interval, f"{compared.threshold:.{digits}f}", verdict)


def record_of(
    experiments: Sequence[Experiment], levels: Sequence[Level], findings: Sequence[Finding], fault: str
) -> dict[str, Any]:
    """Everything that was found, as JSON: scores and losses of all runs, comparisons, verdicts, configuration."""
    return {
        "baseline": BASELINE,
        "levels": {level.name: {**attrs.asdict(level.precision), "fault_bits": level.fault_bits} for level in levels},
        "fault": fault,
        "judged": list(JUDGED),
        "experiments": [
            {**_finding_json(finding, fault), "config": to_document(experiment.config)}
            for experiment, finding in zip(experiments, findings, strict=True)
        ],
    }


def _finding_json(finding: Finding, fault: str) -> dict[str, Any]:
    return {
        "name": finding.name,
        "statements": list(statements(finding, fault)),
        "verdicts": {level: {"all": overall(found), **found} for level, found in finding.verdicts.items()},
        "comparisons": {
            level: {score: _comparison_json(compared) for score, compared in scores.items()}
            for level, scores in finding.comparisons.items()
        },
        "runs": [_result_json(result) for result in finding.results],
    }


def _comparison_json(compared: Comparison) -> dict[str, Any]:
    numbers = {
        "mean_difference": compared.mean,
        "low": compared.interval[0],
        "high": compared.interval[1],
        "spread": compared.spread,
        "threshold": compared.threshold,
    }
    return {
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        "differences": [value if math.isfinite(value) else None for value in compared.differences],
        "outside": compared.outside,
    }


def _result_json(result: Result) -> dict[str, Any]:
    losses = {
        name: [None if value is None or not math.isfinite(value) else float(f"{value:.5g}") for value in values]
        for name, values in result.losses.items()
    }
    return {**attrs.asdict(result), "losses": losses}


def compact(text: str) -> str:
    """JSON text with every list of plain numbers on one line."""
    return re.sub(r"\[\s+((?:(?:null|[-+.\deE]+),\s+)*(?:null|[-+.\deE]+))\s+\]", _joined, text)


def _joined(match: re.Match[str]) -> str:
    return "[" + re.sub(r",\s+", ", ", match[1]) + "]"
