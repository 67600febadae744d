"""What came out of the accuracy experiment: results of all arms, judgements, the record that is kept."""

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from vs_config import to_document
from vs_runtime.metrics_log import read_metrics

from vs_bench.accuracy.arm import HELD_OUT
from vs_bench.accuracy.plan import BASELINE, AccuracyError, Arm, Experiment, Level, is_planted
from vs_bench.accuracy.verdict import (
    ERROR,
    MARGIN_FRACTION,
    Column,
    Difference,
    Floor,
    Judgement,
    Verdict,
    conclude,
    difference_of,
    judge,
    overall,
    pick_floor,
)


@attrs.frozen(kw_only=True)
class Deciding:
    """A score that decides.

    Attributes:
        title: what it is called.
        unit: what it is measured in; may be empty.
        digits: decimals of a difference.
    """

    title: str
    unit: str
    digits: int


JUDGED: Mapping[str, Deciding] = {
    "psnr/generated": Deciding(title="PSNR", unit="dB", digits=3),
    "ssim/generated": Deciding(title="SSIM", unit="", digits=4),
}
"""The scores that decide, whatever the network, of which more is better; all others are compared and kept too."""

FLOORS: Mapping[str, str] = {
    "class_mean": "the mean colour of each class",
    "repeated": "the repeated reference",
    "mean_frame": "the mean frame of the training data",
}
"""What a generator that learnt something beats, the hardest first: method of a score -> in words."""

CURVES: Mapping[str, str] = {
    "g_perceptual": "perceptual loss of G",
    "g_feature_matching": "feature matching loss of G",
    "d_gan": "hinge loss of D",
}
"""The losses that are kept and drawn, where a run has them: name -> in words."""

BLOCK = 5
"""Steps whose mean is one point of a kept curve."""


@attrs.frozen(kw_only=True)
class Measured:
    """By what an arm was measured, and when.

    Attributes:
        at: when its process began, ISO 8601.
        machine: versions, the git revision and the machine, as `vs_runtime.describe_environment` says.
    """

    at: str
    machine: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Result:
    """The outcome of an arm.

    Attributes:
        level: name of its level.
        seed: its seed.
        diverged: whether training ended with values that are not finite.
        scores: name -> value on held-out clips; empty for a run that diverged.
        losses: those of `CURVES`, name -> mean of each `BLOCK` steps; None for blocks that do not have it.
        measured: by what and when.
    """

    level: str
    seed: int
    diverged: bool
    scores: Mapping[str, float]
    losses: Mapping[str, tuple[float | None, ...]]
    measured: Measured


@attrs.frozen(kw_only=True)
class Finding:
    """The findings of an experiment.

    Attributes:
        name: the experiment's.
        results: of all arms, level by level in the order of the plan, then by seed.
        differences: level -> score -> difference to O0, in every score of the generated videos.
        judgements: level -> score -> judgement, for the scores that decide.
        verdicts: level -> score -> verdict, for these scores and the levels without a planted fault.
        unbeaten: score -> what O0 does not beat, harder than the floor that its margin is measured from.
    """

    name: str
    results: tuple[Result, ...]
    differences: Mapping[str, Mapping[str, Difference]]
    judgements: Mapping[str, Mapping[str, Judgement]]
    verdicts: Mapping[str, Mapping[str, Verdict]]
    unbeaten: Mapping[str, tuple[Floor, ...]]

    @property
    def levels(self) -> tuple[str, ...]:
        """All levels in order, O0 first and planted faults last."""
        return tuple(dict.fromkeys(result.level for result in self.results))

    def scores_of(self, level: str, score: str) -> Column:
        """Return seed -> score of a level, nan for runs that diverged."""
        return {r.seed: r.scores.get(score, math.nan) for r in self.results if r.level == level}


def read_result(arm: Arm, out: Path) -> Result:
    """Return the result of a finished arm.

    Raises:
        AccuracyError: its result is damaged, or was written by another version.
    """
    run = arm.run(out)
    lines = list(read_metrics(run.metrics))
    path = run.path / HELD_OUT
    try:
        held_out = json.loads(path.read_text("utf-8"))
        return Result(
            level=arm.level.name,
            seed=arm.seed,
            diverged=held_out["diverged"],
            scores=held_out["scores"],
            losses={n: blocks([line.get(n) for line in lines]) for n in CURVES if any(n in line for line in lines)},
            measured=Measured(at=str(held_out["measured"]["at"]), machine=dict(held_out["measured"]["machine"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path}: not a result of this program ({error!r}); remove it, and the same command makes it again"
        raise AccuracyError(message) from error


def blocks(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the mean of each `BLOCK` values, in four digits, of those that are finite numbers."""
    means: list[float | None] = []
    for first in range(0, len(values), BLOCK):
        known = [v for v in values[first : first + BLOCK] if v is not None and math.isfinite(v)]
        means.append(float(f"{statistics.fmean(known):.4g}") if known else None)
    return tuple(means)


def find(name: str, results: Sequence[Result]) -> Finding:
    """Compare the levels of an experiment with O0.

    Raises:
        AccuracyError: fewer than two runs in O0 came to an end, so that there is nothing to compare with.
    """
    names = list(dict.fromkeys(result.level for result in results))
    names.sort(key=lambda level: (level != BASELINE, is_planted(level)))
    ordered = tuple(r for level in names for r in sorted(results, key=lambda r: r.seed) if r.level == level)
    baseline = [result for result in ordered if result.level == BASELINE and not result.diverged]
    if len(baseline) < 2:
        message = f"{name}: fewer than two runs in {BASELINE} did not diverge: there is nothing to compare with"
        raise AccuracyError(message)
    raw = Finding(name=name, results=ordered, differences={}, judgements={}, verdicts={}, unbeaten={})
    candidates = {score: _floors(baseline[0].scores, score) for score in JUDGED}
    floors = {score: pick_floor(raw.scores_of(BASELINE, score), candidates[score]) for score in JUDGED}
    scores = [score for score in baseline[0].scores if score.endswith("/generated")]
    judgements = {
        level: {
            score: judge(raw.scores_of(BASELINE, score), raw.scores_of(level, score), floors[score]) for score in JUDGED
        }
        for level in raw.levels[1:]
    }
    planted = [judged for level, judged in judgements.items() if is_planted(level)]
    return attrs.evolve(
        raw,
        differences={
            level: {
                score: difference_of(raw.scores_of(BASELINE, score).values(), raw.scores_of(level, score).values())
                for score in scores
            }
            for level in judgements
        },
        judgements=judgements,
        verdicts={
            level: {score: conclude(judged[score], [fault[score] for fault in planted]) for score in JUDGED}
            for level, judged in judgements.items()
            if not is_planted(level)
        },
        unbeaten={score: tuple(candidates[score][: candidates[score].index(floors[score])]) for score in JUDGED},
    )


def _floors(scores: Mapping[str, float], score: str) -> list[Floor]:
    """Return what could be the floor of a score; the same for all runs, since nothing trained has a part in it."""
    measure = score.partition("/")[0]
    return [Floor(name=n, value=scores[f"{measure}/{n}"]) for n in FLOORS if f"{measure}/{n}" in scores]


def record_of(
    experiments: Sequence[Experiment],
    levels: Sequence[Level],
    findings: Sequence[Finding],
    faults: Mapping[str, str],
    said: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Return everything that was found, as JSON: scores and curves, judgements, configuration, when and by what.

    `said` are the `words.statements` on each finding.
    """
    return {
        **_measured([result.measured for finding in findings for result in finding.results]),
        "baseline": BASELINE,
        "levels": {level.name: {**attrs.asdict(level.precision), "fault_bits": level.fault_bits} for level in levels},
        "faults": dict(faults),
        "judged": list(JUDGED),
        "margin_share": MARGIN_FRACTION,
        "steps_per_point": BLOCK,
        "experiments": [
            {**_finding_json(finding, sentences), "config": to_document(experiment.config)}
            for experiment, finding, sentences in zip(experiments, findings, said, strict=True)
        ],
    }


def _measured(arms: Sequence[Measured]) -> dict[str, Any]:
    """Return when measuring began, on which machine, and all revisions: several where it went on with another one."""
    ordered = sorted(arms, key=lambda arm: arm.at)
    first, last = ordered[0], ordered[-1]
    revisions: list[Any] = []
    for arm in arms:
        if arm.machine.get("git") not in revisions:
            revisions.append(arm.machine.get("git"))
    return {"measured_at": first.at, "last_arm_at": last.at, "machine": dict(first.machine), "revisions": revisions}


def _finding_json(finding: Finding, said: Sequence[str]) -> dict[str, Any]:
    return {
        "name": finding.name,
        "statements": list(said),
        "verdicts": {level: {"all": overall(found), **found} for level, found in finding.verdicts.items()},
        "unbeaten": {score: [attrs.asdict(floor) for floor in floors] for score, floors in finding.unbeaten.items()},
        "judgements": {
            level: {score: _judgement_json(judged) for score, judged in scores.items()}
            for level, scores in finding.judgements.items()
        },
        "differences": {
            level: {score: _difference_json(compared) for score, compared in scores.items()}
            for level, scores in finding.differences.items()
        },
        "runs": [_run_json(result) for result in finding.results],
    }


def _run_json(result: Result) -> dict[str, Any]:
    """Return a run as JSON, without what is the same for all; see `_measured`."""
    return attrs.asdict(result, filter=attrs.filters.exclude("measured"))


def _judgement_json(judged: Judgement) -> dict[str, Any]:
    compared = judged.difference
    numbers = {
        "margin": judged.margin,
        "learnt": judged.learnt,
        "power": compared.power(judged.margin),
        "least_margin": compared.least_margin,
        "least_seen": compared.least_seen,
    }
    return {
        "verdict": judged.verdict,
        "reasons": list(judged.reasons),
        **_difference_json(compared),
        **_known(numbers),
        "floor": attrs.asdict(judged.floor),
        "spreads": _known(attrs.asdict(judged.spreads)),
        "collapses": attrs.asdict(judged.collapses),
        "laggards": list(judged.laggards),
        "baseline_laggards": list(judged.baseline_laggards),
    }


def _difference_json(compared: Difference) -> dict[str, float | None]:
    low, high = compared.interval(2 * ERROR)
    return _known({"difference": compared.mean, "low": low, "high": high, "chance": compared.chance})


def _known(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(f"{value:.6g}") if math.isfinite(value) else None for name, value in numbers.items()}


def compact(text: str) -> str:
    """Put every list of plain numbers of a JSON text on one line."""
    return re.sub(r"\[\s+((?:(?:null|[-+.\deE]+),\s+)*(?:null|[-+.\deE]+))\s+\]", _joined, text)


def _joined(match: re.Match[str]) -> str:
    return "[" + re.sub(r",\s+", ", ", match[1]) + "]"
