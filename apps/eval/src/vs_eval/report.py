"""From the scores of clips to the tables that people read and the JSON that programs read."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from vs_metrics import Average, combine, mean_of

from vs_eval.measures import MEASURES, Measure, headed, measure_of, method_of, shown
from vs_eval.scoring import ClipScores

METHODS: Mapping[str, str] = {
    "generated": "generated",
    "class_mean": "mean colour of each class",
    "previous": "previous real frame repeated",
    "real": "real video",
}

MOTION: tuple[tuple[str, str], ...] = (
    ("epe/generated", "generated flow"),
    ("epe/zero", "zero flow"),
    ("l1/warped_generated", "previous generated frame, warped by the model's flow"),
    ("l1/repeated_generated", "previous generated frame, repeated"),
    ("l1/warped_real", "previous real frame, warped by the model's flow"),
    ("l1/warped_real_by_teacher", "previous real frame, warped by the teacher's flow"),
    ("l1/repeated_real", "previous real frame, repeated"),
)


@attrs.frozen(kw_only=True)
class Comparison:
    """A comparison: whether a score beats the one that it has to beat.

    Attributes:
        claim: what is compared, in words.
        value: the score.
        baseline: what it has to beat.
        holds: whether it does.
    """

    claim: str
    value: float
    baseline: float
    holds: bool


Claim = tuple[str, str, str]
"""What is claimed, in words; the score that has to beat; the score that it has to beat."""

CLAIMS: tuple[Claim, ...] = (
    ("PSNR above the mean colour of each class", "psnr/generated", "psnr/class_mean"),
    ("SSIM above the mean colour of each class", "ssim/generated", "ssim/class_mean"),
    ("flow closer to the teacher's than zero flow", "epe/generated", "epe/zero"),
    (
        "warped generated frame closer to the real one than the repeated one",
        "l1/warped_generated",
        "l1/repeated_generated",
    ),
    ("warped real frame closer to the real one than the repeated one", "l1/warped_real", "l1/repeated_real"),
)


@attrs.frozen(kw_only=True)
class Report:
    """The scores of an evaluation.

    Attributes:
        clips: scores of each clip.
        totals: score name -> average over all clips, each frame (or confident pixel) counting once.
        comparisons: the claims for which both sides exist.
    """

    clips: tuple[ClipScores, ...]
    totals: Mapping[str, Average]
    comparisons: tuple[Comparison, ...]


def summarise(scores: Sequence[ClipScores], claims: Sequence[Claim] = CLAIMS) -> Report:
    """Sum up the scores of some clips. Nothing is rounded."""
    names = dict.fromkeys(name for clip in scores for name in clip.totals)
    totals = {name: combine(clip.totals[name] for clip in scores if name in clip.totals) for name in names}
    return Report(clips=tuple(scores), totals=totals, comparisons=tuple(_comparisons(totals, claims)))


@attrs.frozen(kw_only=True)
class Table:
    """A table as text: what the terminal and the page show."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables(report: Report) -> tuple[Table, ...]:
    """Return the tables of a report: frames, motion (when the generator warps), comparisons."""
    made = [_frame_table(report.totals), _motion_table(report.totals), comparison_table(report.comparisons)]
    return tuple(table for table in made if table.rows)


def clip_table(report: Report) -> Table:
    """Return one row for each clip: what the generator scored on it."""
    names = (
        "psnr/generated",
        "psnr/class_mean",
        "ssim/generated",
        "ssim/class_mean",
        "warping/generated",
        "epe/generated",
    )
    present = tuple(name for name in names if name in report.totals)
    heads = tuple(f"{headed(measure_of(name))} ({METHODS[method_of(name)]})" for name in present)
    rows = tuple(
        (clip.name, str(clip.frames), *(shown(name, clip.totals) for name in present)) for clip in report.clips
    )
    return Table(title="Each clip", heads=("clip", "frames", *heads), rows=rows)


def broken_frames(reports: Iterable[Report]) -> tuple[str, ...]:
    """Say that frames were generated whose values are not finite; nothing where all are."""
    clips = [clip for report in reports for clip in report.clips]
    broken = [(clip.name, index) for clip in clips for index in clip.broken]
    if not broken:
        return ()
    (name, index), frames = broken[0], sum(clip.frames for clip in clips)
    return (
        f"{len(broken)} of {frames} generated frames have values that are not finite, the first of them is frame "
        f"{index + 1} of {name}: scores and means that they are part of are left out; evaluate another checkpoint",
    )


def to_json(report: Report, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole report as JSON values: numbers with units, every clip, and the facts about the run.

    A score that does not exist (no teacher flow, nothing confident, a generated frame that is not finite) is left out;
    a curve has nan or infinity at such a frame, and null where it is written.
    """
    return {**facts, "measures": measures_json(MEASURES), **report_json(report)}


def measures_json(measures: Sequence[Measure]) -> dict[str, dict[str, str]]:
    """Say what the numbers of a report mean."""
    return {
        measure.name: {"unit": measure.unit, "better": measure.better, "explanation": measure.explanation}
        for measure in measures
    }


def report_json(report: Report) -> dict[str, Any]:
    """Return the scores of a report: in all, compared, and of each clip."""
    return {
        "scores": _scores_json(report.totals),
        "comparisons": [
            {"claim": item.claim, "value": item.value, "baseline": item.baseline, "holds": item.holds}
            for item in report.comparisons
        ],
        "clips": [
            {
                "name": clip.name,
                "frames": clip.frames,
                "scores": _scores_json(clip.totals),
                "curves": {name: list(values) for name, values in clip.curves.items()},
            }
            for clip in report.clips
        ],
    }


def _scores_json(totals: Mapping[str, Average]) -> dict[str, dict[str, Any]]:
    return {
        name: {"value": mean_of(average), "unit": measure_of(name).unit, "weight": average.weight}
        for name, average in totals.items()
        if math.isfinite(mean_of(average))
    }


def _comparisons(totals: Mapping[str, Average], claims: Sequence[Claim]) -> list[Comparison]:
    found = []
    for claim, name, baseline in claims:
        a, b = (mean_of(totals.get(key, Average())) for key in (name, baseline))
        if math.isfinite(a) and math.isfinite(b):
            holds = a > b if measure_of(name).better == "higher" else a < b
            found.append(Comparison(claim=claim, value=a, baseline=b, holds=holds))
    return found


def _frame_table(totals: Mapping[str, Average]) -> Table:
    measures = [measure for measure in MEASURES if measure.name in ("psnr", "ssim", "warping")]
    rows = score_rows(METHODS, lambda method: [shown(f"{measure.name}/{method}", totals) for measure in measures])
    first = ", ".join(
        f"{METHODS[method]} {shown(f'first_psnr/{method}', totals)} dB, SSIM {shown(f'first_ssim/{method}', totals)}"
        for method in ("generated", "class_mean")
        if f"first_psnr/{method}" in totals
    )
    note = f"All frames but the first of each clip, which has no frame before. First frames: {first}." if first else ""
    heads = ("video", *(headed(measure) for measure in measures))
    return Table(title="Frames", heads=heads, rows=rows if totals else (), note=note)


def score_rows(names: Mapping[str, str], values: Callable[[str], list[str]]) -> tuple[tuple[str, ...], ...]:
    """Return a row for each method that has any score: name -> title, and name -> its scores as text."""
    filled = ((title, *values(name)) for name, title in names.items())
    return tuple(row for row in filled if any(cell != "–" for cell in row[1:]))


def _motion_table(totals: Mapping[str, Average]) -> Table:
    rows = []
    for name, title in MOTION:
        if name in totals:
            cells = ("–", shown(name, totals)) if measure_of(name).name == "l1" else (shown(name, totals), "–")
            rows.append((title, *cells))
    heads = ("motion", *(headed(measure) for measure in MEASURES if measure.name in ("epe", "l1")))
    note = "On the frames for which the generator warps the previous one."
    return Table(title="Motion", heads=heads, rows=tuple(rows), note=note)


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Return one row for each claim; without rows where there is none."""
    rows = tuple(
        (item.claim, f"{item.value:.3f}", f"{item.baseline:.3f}", "yes" if item.holds else "no") for item in comparisons
    )
    return Table(title="Comparisons", heads=("claim", "value", "to beat", "holds"), rows=rows)
