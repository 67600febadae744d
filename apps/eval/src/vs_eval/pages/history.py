"""What happened in a run, from its metrics.jsonl: curves, and the steps at which something was skipped or went back."""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from vs_runtime.metrics_log import KIND, VALIDATION, salvage_metrics
from vs_training.quality.course import Validation
from vs_training.quality.measures import headed, measure_of

from vs_eval.pages.content import Figure, Remark
from vs_eval.pages.curves import Mark, Series, draw
from vs_eval.pages.scores import FIRST

NETWORKS = ("generator", "discriminator")

GROUPS: tuple[tuple[str, str, str], ...] = (
    ("Losses of the generator", "g_", ""),
    ("Losses of the discriminator", "d_", ""),
    ("Norms of gradients", "gradient_norm_", ""),
    ("Loss scales", "scale_", ""),
    ("Gradients lost to underflow", "underflow_", ""),
    ("Learning rates", "lr_", ""),
    ("Speed", "images_per_second", "images per second"),
)
"""Figures: heading, how the names of their numbers begin, and what a number is called that is its whole name."""

COUNTS: Mapping[str, tuple[str, str]] = {
    "skipped_generator": (
        "update of the generator skipped after an overflow",
        "updates of the generator skipped after an overflow",
    ),
    "skipped_discriminator": (
        "update of the discriminator skipped after an overflow",
        "updates of the discriminator skipped after an overflow",
    ),
    "replays": ("frame replayed with a smaller loss scale", "frames replayed with a smaller loss scale"),
    "roll_backs": ("roll-back to an earlier checkpoint", "roll-backs to an earlier checkpoint"),
}
"""Numbers of metrics.jsonl that count what has happened so far: in words, once and several times."""


@attrs.frozen(kw_only=True)
class History:
    """The course of a run's training, as far as it is known.

    Attributes:
        steps: the numbers of each step.
        validations: those of each validation.
        notices: what is wrong with the file.
    """

    steps: tuple[Mapping[str, Any], ...]
    validations: tuple[Mapping[str, Any], ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """The last step."""
        return int(self.steps[-1]["step"]) if self.steps else 0


def read_history(path: Path) -> History:
    """Read as much of metrics.jsonl as can be read; lines that cannot are named in the notices."""
    lines, problems = salvage_metrics(path)
    kinds = [line.get(KIND) == VALIDATION for line in lines]
    return History(
        steps=tuple(line for line, validation in zip(lines, kinds, strict=True) if not validation),
        validations=tuple(line for line, validation in zip(lines, kinds, strict=True) if validation),
        notices=tuple(problems),
    )


def happened(history: History, name: str) -> dict[int, int]:
    """Return the steps at which a count has grown, and by how much."""
    grown, before = {}, 0
    for line in history.steps:
        now = int(number(line.get(name), 0))
        if now > before:
            grown[int(line["step"])] = now - before
        before = now
    return grown


def overflowed(history: History) -> tuple[int, ...]:
    """Return the steps at which a gradient overflowed: those that lowered a loss scale.

    A roll-back restores a scale, and does not count. Whether an update was skipped for it is another matter: it may
    have been replayed. An overflow in a step whose scale grew again is not seen.
    """
    found, before, restored = set(), dict[str, float](), happened(history, "roll_backs")
    for line in history.steps:
        for name in ("scale_generator", "scale_discriminator"):
            now = number(line.get(name), before.get(name, 0.0))
            if now < before.get(name, 0.0) and line["step"] not in restored:
                found.add(int(line["step"]))
            before[name] = now
    return tuple(sorted(found))


def stages(history: History) -> dict[int, int]:
    """Return the steps at which clips became of another length, and that length; the first step is left out."""
    found: dict[int, int] = {}
    before: int | None = None
    for line in history.steps:
        now = int(number(line.get("frames"), 0)) or before
        if before is not None and now is not None and now != before:
            found[int(line["step"])] = now
        before = now
    return found


def resumed_at(history: History, times: Sequence[str]) -> tuple[int, ...]:
    """Return the first step after each of some times (ISO 8601), where there is one."""
    found = []
    for text in times:
        try:
            time = datetime.datetime.fromisoformat(text).timestamp()
        except (ValueError, TypeError):
            continue
        found += [int(line["step"]) for line in history.steps if number(line.get("time"), -math.inf) >= time][:1]
    return tuple(found)


def marks_of(history: History, checkpoints: Sequence[int], resumed: Sequence[int]) -> tuple[Mark, ...]:
    """Return what is marked in curves over steps."""
    skipped = {*happened(history, "skipped_generator"), *happened(history, "skipped_discriminator")}
    marks = (
        Mark(text="clips of another length", steps=tuple(stages(history)), style="dashed"),
        Mark(text="resumed", steps=tuple(resumed), style="dotted"),
        Mark(text="gradients overflowed", steps=overflowed(history), style="bad dashed"),
        Mark(text="update skipped", steps=tuple(sorted(skipped)), style="bad dotted"),
        Mark(text="replayed", steps=tuple(happened(history, "replays")), style="bad thick dotted"),
        Mark(text="rolled back", steps=tuple(happened(history, "roll_backs")), style="bad"),
        Mark(text="checkpoint", steps=tuple(checkpoints), style="solid"),
    )
    return tuple(mark for mark in marks if mark.steps)


def training_figures(history: History, marks: Sequence[Mark]) -> tuple[Figure, ...]:
    """Return the curves of a run; those that never change are left out."""
    found = []
    for position, (title, prefix, alone) in enumerate(GROUPS):
        series = [one for one in series_of(history.steps, prefix, alone) if prefix != "scale_" or len(set(one.y)) > 1]
        found.append(draw(title, series, x_name="step", ident=f"training{position}", marks=marks))
    return tuple(figure for figure in found if figure is not None)


def series_of(lines: Sequence[Mapping[str, Any]], prefix: str, alone: str = "") -> list[Series]:
    """Return the numbers whose names begin so over steps, named by the rest; `alone`: what the rest is if empty."""
    names = dict.fromkeys(name for line in lines for name in line if name.startswith(prefix))
    return [_series(lines, name, name.removeprefix(prefix).replace("_", " ") or alone) for name in names]


def validation_names(history: History) -> tuple[str, ...]:
    """Return the names of all scores of the validations, but for those of first frames."""
    names = dict.fromkeys(
        name for line in history.validations for name, value in line.items() if _is_score(name, value)
    )
    return tuple(name for name in names if not name.startswith(FIRST))


def _series(lines: Sequence[Mapping[str, Any]], name: str, title: str) -> Series:
    points = [(line["step"], number(line[name], math.nan)) for line in lines if name in line]
    return Series(name=title, x=[x for x, _ in points], y=[y for _, y in points])


def validation_series(history: History, name: str, title: str) -> Series:
    """Return a number of the validations over steps."""
    return _series(history.validations, name, title)


def course_of(history: History) -> tuple[Validation, ...]:
    """Return what the validations say one after the other."""
    return tuple(
        Validation(
            step=int(line["step"]),
            scores={name: float(value) for name, value in line.items() if _is_score(name, value)},
            broken=int(number(line.get("broken"), 0)),
        )
        for line in history.validations
    )


def measured(name: str) -> str:
    """Return the heading of the measure of a score's name; of one that nobody explains, its name."""
    try:
        return headed(measure_of(name))
    except KeyError:
        return name.partition("/")[0]


def _is_score(name: str, value: Any) -> bool:
    return "/" in name and type(value) in (int, float)  # psnr/generated, beside counts of clips and frames


def number(value: Any, otherwise: float) -> float:
    """Return a value if it is a number, or else another number."""
    return float(value) if type(value) in (int, float) else otherwise


def remarks_on(history: History) -> Iterator[Remark]:
    """Yield what happened, in words."""
    for step, frames in stages(history).items():
        yield Remark(text=f"From step {step} on, clips have {frames} frame{'s' * (frames > 1)}.")
    for name, (once, several) in COUNTS.items():
        grown = happened(history, name)
        count = sum(grown.values())
        if count:
            what = f"{once}, at" if count == 1 else f"{several}, from step {min(grown)} to"
            yield Remark(text=f"{count} {what} step {max(grown)}.", good=None if name != "roll_backs" else False)
    broken = [line["step"] for line in history.steps if any(_is_broken(value) for value in line.values())]
    if broken:
        yield Remark(
            text=f"{len(broken)} steps have numbers that are not finite, the first is {broken[0]}.", good=False
        )


def _is_broken(value: Any) -> bool:
    return type(value) is float and not math.isfinite(value)
