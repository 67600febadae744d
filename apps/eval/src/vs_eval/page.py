"""The report as a page: one HTML file beside its pictures and videos, which it names by relative path."""

from collections.abc import Mapping, Sequence
from importlib import resources

import attrs
from jinja2 import Environment, StrictUndefined
from vs_config import shown
from vs_training.quality.measures import Measure

from vs_eval.report import Table


@attrs.frozen(kw_only=True)
class ClipFiles:
    """The files of one clip, relative to the page.

    Attributes:
        name: the clip's name.
        video: what `video_frame` shows of it, MP4.
        strip: some frames, PNG.
    """

    name: str
    video: str
    strip: str


@attrs.frozen(kw_only=True)
class Picture:
    """A picture that is of no single clip: what it shows, and its file, relative to the page."""

    title: str
    file: str


@attrs.frozen(kw_only=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading; none where the page has a single section.
        texts: paragraphs: what was measured, in words.
        tables: the scores.
        pictures: shown below the tables.
        clips: videos and strips in order.
        caption: what is to be seen in them.
    """

    title: str = ""
    texts: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    clips: tuple[ClipFiles, ...] = ()
    caption: str = ""


def render_page(
    sections: Sequence[Section],
    *,
    title: str,
    summary: str,
    measures: Sequence[Measure],
    facts: Mapping[str, str],
    notices: Sequence[str] = (),
) -> str:
    """Return the HTML of a report; everything that is put into it is escaped, control characters too.

    Args:
        sections: the scores and what there is to look at.
        title: heading of the page.
        summary: one line below it.
        measures: what is explained of the numbers.
        facts: what the report was made from, by name.
        notices: what went otherwise than asked for (a damaged checkpoint was left out).
    """
    environment = Environment(
        autoescape=True, finalize=shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files("vs_eval").joinpath("templates/report.html.j2").read_text("utf-8")
    return environment.from_string(template).render(
        title=title,
        summary=summary,
        notices=notices,
        sections=sections,
        measures=measures,
        facts=list(facts.items()),
    )
