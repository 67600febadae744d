"""What an evaluation has found, read back from its report.json, which may be damaged or of another version."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs
from vs_config import DocumentError, read_json

from vs_eval.errors import VsEvalError
from vs_eval.files import ClipFiles, PanelPlace, Picture
from vs_eval.output import MARKER
from vs_eval.report import Table

LARGEST = 2**28
"""Of a report.json, bytes."""

GENERATED = "/generated"
"""How names of scores of generated frames end."""


@attrs.frozen(kw_only=True)
class Score:
    """A score with its unit, and where there is one the interval that it is believed to lie in."""

    value: float
    unit: str = ""
    interval: tuple[float, float] | None = None


@attrs.frozen(kw_only=True)
class Said:
    """The words on a measure: its heading, unit, which way is better, decimals, and sentences on what it is."""

    title: str = ""
    unit: str = ""
    better: str = "higher"
    digits: int = 3
    explanation: str = ""
    needs: str = ""
    limits: str = ""
    source: str = ""


@attrs.frozen(kw_only=True)
class FoundSet:
    """A measure of all generated frames together, which is no mean over them; and the same of real frames."""

    title: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    real: float | None = None
    unit: str = ""
    better: str = ""
    least_frames: int = 1
    source: str = ""
    limits: str = ""
    note: str = ""

    @property
    def said(self) -> Said:
        """The words on the measure."""
        return Said(
            title=self.title,
            unit=self.unit,
            better=self.better,
            needs=f"{self.least_frames} frames of all clips together",
            limits=self.limits,
            source=self.source,
        )


@attrs.frozen(kw_only=True)
class Claimed:
    """A comparison: what is claimed, the score, what it has to beat, whether it does."""

    claim: str
    value: float
    baseline: float
    holds: bool


@attrs.frozen(kw_only=True)
class FoundClip:
    """The scores of a clip, and its curves over frames."""

    name: str
    frames: int = 0
    scores: Mapping[str, Score] = attrs.field(factory=dict)
    curves: Mapping[str, tuple[float | None, ...]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FoundPart:
    """A part of an evaluation: all of a vid2vid one, a number of references or driving of a few-shot one."""

    title: str = ""
    caption: str = ""
    texts: tuple[str, ...] = ()
    scores: Mapping[str, Score] = attrs.field(factory=dict)
    sets: tuple[FoundSet, ...] = ()
    comparisons: tuple[Claimed, ...] = ()
    clips: tuple[FoundClip, ...] = ()
    tables: tuple[Table, ...] = ()
    files: tuple[ClipFiles, ...] = ()
    pictures: tuple[Picture, ...] = ()


@attrs.frozen(kw_only=True)
class Found:
    """An evaluation.

    Attributes:
        parts: what was found, in the order in which it is shown.
        measures: what its numbers mean.
        about: the rest of the document.
        directory: where its files are.
    """

    parts: tuple[FoundPart, ...]
    measures: Mapping[str, Said]
    about: Mapping[str, Any]
    directory: Path

    @property
    def step(self) -> int | None:
        """The training step of the weights, as far as known."""
        match self.about:
            case {"checkpoint": {"step": int(step)}} | {"provenance": {"steps": int(step)}}:
                return step
            case _:
                return None

    def text(self, name: str) -> str:
        """Return an entry of the document that is one line."""
        value = self.about.get(name, "")
        return value if type(value) is str else ""

    @property
    def notices(self) -> tuple[str, ...]:
        """What went otherwise than asked for."""
        match self.about.get("notices"):
            case list() as notices:
                return tuple(map(str, notices))
            case _:
                return ()

    def said_of(self, name: str) -> Said:
        """Return what is said of the measure of a score's name; of one that nobody explains, its name."""
        measure = name.partition("/")[0]
        said = self.measures.get(measure, Said())
        return said if said.title else attrs.evolve(said, title=measure)


def read_found(path: Path) -> Found:
    """Read the evaluation that a file, report.json or alike, tells of.

    Raises:
        VsEvalError: it is damaged.
    """
    try:
        return structured(read_json(path, max_bytes=LARGEST), path.parent, path.name)
    except DocumentError as error:
        raise VsEvalError(f"{path}: {error.problems[0].message}") from None


def structured(document: Any, directory: Path, name: str = MARKER) -> Found:
    """Return an evaluation of the document that its file `name` is, and the directory of the files that it names.

    Raises:
        VsEvalError: it is none.
    """
    try:
        parts = document.get("sections", [document])
        return Found(
            parts=tuple(_CONVERTER.structure(part, FoundPart) for part in parts),
            measures=_CONVERTER.structure(document.get("measures", {}), dict[str, Said]),
            about=document,
            directory=directory,
        )
    except (cattrs.BaseValidationError, AttributeError, TypeError, ValueError, KeyError) as error:
        what = "; ".join(itertools.islice(_problems(error), 2))
        raise VsEvalError(f"{directory / name}: is not that of an evaluation ({what}); evaluate again") from None


def _problems(error: BaseException) -> Iterator[str]:
    match error:
        case BaseExceptionGroup():
            for below in error.exceptions:
                yield from _problems(below)
        case _:
            yield f"{type(error).__name__}: {error}"


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_structure_hook(tuple[float, float] | None, lambda value, _: _interval(value))
    converter.register_structure_hook(ClipFiles, lambda value, _: _clip_files(converter, value))
    return converter


def _interval(value: Any) -> tuple[float, float] | None:
    """Return the ends of an interval; None where there is none."""
    match value:
        case [int() | float() as low, int() | float() as high]:
            return float(low), float(high)
        case _:
            return None


def _clip_files(converter: cattrs.Converter, value: Mapping[str, Any]) -> ClipFiles:
    return ClipFiles(
        name=str(value["clip"]),
        video=str(value["video"]),
        strip=str(value["strip"]),
        frames=int(value.get("frames", 0)),
        fps=float(value.get("fps", 10.0)),
        panels=tuple(converter.structure(panel, PanelPlace) for panel in value.get("panels", ())),
    )


_CONVERTER = _converter()
