"""What a page consists of, before it is HTML."""

from collections.abc import Sequence

import attrs
from markupsafe import Markup

from vs_eval.files import PanelPlace
from vs_eval.report import Table


@attrs.frozen(kw_only=True)
class Card:
    """A figure that is shown large.

    Attributes:
        title: what was measured.
        value: the figure.
        unit: of it.
        note: what it is beside, in words.
        good: whether that is as it should be; None: nobody knows.
    """

    title: str
    value: str
    unit: str = ""
    note: str = ""
    good: bool | None = None


@attrs.frozen(kw_only=True)
class Remark:
    """A sentence, and whether what it says is as it should be; None: it says neither."""

    text: str
    good: bool | None = None


@attrs.frozen(kw_only=True)
class Swatch:
    """An entry of a figure's legend: the number of its colour, the series' name, its last value, whether it is thin."""

    colour: int
    name: str
    last: str
    pale: bool = False


@attrs.frozen(kw_only=True)
class Figure:
    """A figure of curves.

    Attributes:
        title: its heading.
        svg: the drawing.
        alt: what it shows, in words.
        swatches: its legend.
        marks: what is marked in it, by the name of the mark's style.
        data: numbers for whoever points at it: `x`, where they are in the drawing, and values of each series.
    """

    title: str
    svg: Markup
    alt: str
    swatches: tuple[Swatch, ...]
    marks: tuple[tuple[str, str], ...] = ()
    data: object = None


@attrs.frozen(kw_only=True)
class Clip:
    """A video that can be played.

    Attributes:
        name: what it is called.
        video: the bytes of an MP4 in base64.
        frames: how many there are.
        fps: how many a second.
        panels: what it shows where.
    """

    name: str
    video: str
    frames: int
    fps: float
    panels: tuple[PanelPlace, ...]


@attrs.frozen(kw_only=True)
class Player:
    """Videos that are looked at one at a time, with two panels large; `ident` is unique on the page.

    Attributes:
        ident: its name on the page.
        clips: in order.
        left: the panel that is shown large at first at the left of the wipe, by its title.
        right: the one at the right.
        left_out: names of clips that are too large for the page, or cannot be read.
    """

    ident: str
    clips: tuple[Clip, ...]
    left: str = "real"
    right: str = "generated"
    left_out: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Jump:
    """A cell of a table that goes to a clip: its text, the player and the clip's number there; None: no video."""

    text: str
    player: str
    clip: int | None


@attrs.frozen(kw_only=True)
class Jumps:
    """A table whose cells may go to clips."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str | Jump, ...], ...]
    note: str = ""


@attrs.frozen(kw_only=True)
class Shown:
    """A picture, as a data URL; `sheet`: of dark on white, so that a dark page shows it turned over."""

    title: str
    url: str
    sheet: bool = False


@attrs.frozen(kw_only=True)
class Folded:
    """Text as it is in a file, folded away."""

    title: str
    text: str


@attrs.frozen(kw_only=True)
class Section:
    """A part of the page; what is empty is not shown.

    Attributes:
        ident: its name in links.
        title: its heading.
        texts: paragraphs.
        cards: large figures.
        remarks: a list.
        player: videos.
        caption: what is to be seen in them.
        figures: curves.
        tables: in order.
        pictures: below them.
        terms: words, and what they mean.
        commands: lines for a terminal, each with what it does.
        facts: names and values.
        folded: files.
    """

    ident: str
    title: str
    texts: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()
    remarks: tuple[Remark, ...] = ()
    player: Player | None = None
    caption: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table | Jumps, ...] = ()
    pictures: tuple[Shown, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    folded: tuple[Folded, ...] = ()


@attrs.frozen(kw_only=True)
class Page:
    """A page.

    Attributes:
        title: its heading.
        kind: what it is about, in two words.
        lines: what there is to say of it at once.
        notices: what is not as it should be.
        sections: its parts.
    """

    title: str
    kind: str
    lines: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    sections: Sequence[Section] = ()
