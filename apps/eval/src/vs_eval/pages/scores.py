"""Scores of an evaluation as a page shows them: figures beside what they have to beat, best and worst clips, drift."""

import math
from collections.abc import Iterator, Mapping, Sequence

from vs_eval.pages.content import Card, Figure, Jump, Jumps, Player, Remark
from vs_eval.pages.curves import Series, draw
from vs_eval.pages.found import GENERATED, Found, FoundPart, FoundSet, Said, Score

BESIDE: Mapping[str, str] = {
    "real": "the real video",  # before class colours, which have next to nothing that could flicker or change
    "class_mean": "the mean colour of each class",
    "repeated": "the reference, repeated",
    "training": "the mean of the training people",
    "zero": "no motion",
    "previous": "the previous real frame",
}
"""What generated frames are compared with in one line, the first that there is: by method, in words."""

FLOORS = ("real", "previous")
"""Methods that know the real video, so that no generator has to beat them."""

FIRST = "first_"
"""How names of measures of first frames begin, which are not shown large."""

CARDS = 8
"""Figures of frames that are shown large at most."""


def cards_of(found: Found, part: FoundPart) -> tuple[Card, ...]:
    """Return the figures of generated frames, each with what it is beside."""
    names = [name for name in part.scores if name.endswith(GENERATED) and not name.startswith(FIRST)]
    cards = [_card(found.said_of(name), name, part.scores) for name in names[:CARDS]]
    return (*cards, *(_set_card(one) for one in part.sets if one.value is not None))


def _set_card(one: FoundSet) -> Card:
    real = "" if one.real is None else f"real frames have {one.real:.3g}"
    ends = "" if one.interval is None else "{:.3g} to {:.3g}".format(*one.interval)
    title = one.title.removesuffix(f", {one.unit}") if one.unit else one.title  # the unit follows the number
    note = " · ".join(filter(None, (ends, real, one.note)))
    return Card(title=title, value=f"{one.value:.3g}", unit=one.unit, note=note)


def _card(said: Said, name: str, scores: Mapping[str, Score]) -> Card:
    score, measure = scores[name], name.removesuffix(GENERATED)
    method = next((method for method in BESIDE if f"{measure}/{method}" in scores), None)
    note, good = interval_of(score, said), None
    if method is not None:
        other = scores[f"{measure}/{method}"].value
        note = " · ".join(filter(None, (note, _beside(said, score.value, other, method))))
        alike = is_alike(said, score.value, other)
        good = None if method in FLOORS or alike else is_better(said, score.value, other)
    return Card(title=said.title, value=f"{score.value:.{said.digits}f}", unit=score.unit, note=note, good=good)


def _beside(said: Said, value: float, other: float, method: str) -> str:
    shown = f"{other:.{said.digits}f}"
    if method in FLOORS:
        return f"{BESIDE[method]} has {shown}"
    if is_alike(said, value, other):
        return f"as good as {BESIDE[method]} ({shown})"
    by = " ".join(filter(None, (f"{abs(value - other):.{said.digits}f}", said.unit)))
    return f"{by} {'better' if is_better(said, value, other) else 'worse'} than {BESIDE[method]} ({shown})"


def interval_of(score: Score, said: Said) -> str:
    """Return where a score is believed to lie, as text; nothing where nobody knows."""
    if score.interval is None:
        return ""
    low, high = score.interval
    return f"{low:.{said.digits}f} to {high:.{said.digits}f}"


def titled(said: Said) -> str:
    """Return a measure's title with its unit, once: some of sets have it in their title."""
    return f"{said.title.removesuffix(f', {said.unit}')}, {said.unit}" if said.unit else said.title


def is_alike(said: Said, value: float, other: float) -> bool:
    """Say whether two scores of the same measure do not differ by what is shown of them."""
    return round(abs(value - other), said.digits) == 0


def is_better(said: Said, value: float, other: float) -> bool:
    """Say whether a score is better than another of the same measure."""
    return value > other if said.better == "higher" else value < other


def claims_of(part: FoundPart) -> Iterator[Remark]:
    """Yield what was claimed, and whether it holds."""
    for item in part.comparisons:
        yield Remark(text=f"{item.claim}: {item.value:.3f}, to beat {item.baseline:.3f}", good=item.holds)


def extremes(found: Found, part: FoundPart, player: Player | None) -> Jumps | None:
    """Return the best and the worst clip by each measure, with a way to its video; None where there are no two."""
    names = dict.fromkeys(name for clip in part.clips for name in clip.scores if name.endswith(GENERATED))
    rows = []
    for name in names:
        said = found.said_of(name)
        ranked = sorted(
            (clip for clip in part.clips if name in clip.scores and math.isfinite(clip.scores[name].value)),
            key=lambda clip: clip.scores[name].value,
            reverse=said.better == "higher",
        )
        if len(ranked) > 1 and not name.startswith(FIRST):
            ends = [(clip.name, f"{clip.scores[name].value:.{said.digits}f}") for clip in (ranked[0], ranked[-1])]
            cells = (cell for clip, value in ends for cell in (_jump(clip, player), value))
            rows.append((titled(said), *cells))
    heads = ("measure", "best clip", "", "worst clip", "")
    return Jumps(title="Best and worst clips", heads=heads, rows=tuple(rows)) if rows else None


def _jump(name: str, player: Player | None) -> Jump:
    clips = () if player is None else player.clips
    number = next((number for number, clip in enumerate(clips) if clip.name == name), None)
    return Jump(text=name, player="" if player is None else player.ident, clip=number)


def drift_figures(found: Found, part: FoundPart, ident: str) -> tuple[Figure, ...]:
    """Return how scores go over the frames of a clip, means over the clips that are so long."""
    names = dict.fromkeys(name for clip in part.clips for name in clip.curves)
    measures = dict.fromkeys(name.partition("/")[0] for name in names)
    figures = []
    for number, measure in enumerate(measures):
        said = found.said_of(measure)
        series = [drift_of(part, name) for name in names if name.partition("/")[0] == measure]
        title = f"{said.title} over the frames of a clip"
        figures.append(draw(title, series, x_name="frame", ident=f"{ident}drift{number}"))
    return tuple(figure for figure in figures if figure is not None)


def drift_of(part: FoundPart, name: str) -> Series:
    """Return the mean over clips of a curve; those that begin later than with the first frame end with the others."""
    curves = [(clip.frames, clip.curves[name]) for clip in part.clips if name in clip.curves]
    points: dict[int, list[float]] = {}
    for frames, curve in curves:
        for at, value in enumerate(curve, start=max(0, frames - len(curve)) + 1):
            points.setdefault(at, []).append(math.nan if value is None else value)
    ordered = sorted(points.items())
    return Series(
        name=name.partition("/")[2].replace("_", " "),
        x=[x for x, _ in ordered],
        y=[_mean(values) for _, values in ordered],
    )


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
