"""The report as a page: one HTML file beside its pictures and videos, which it names by relative path."""

from collections.abc import Mapping, Sequence
from importlib import resources

from attrs import frozen
from jinja2 import Environment, StrictUndefined

from vs_eval.report import MEASURES, Report, clip_table, tables


@frozen(kw_only=True)
class ClipFiles:
    """The files of one clip, relative to the page.

    Attributes:
        name: the clip's name.
        video: label, real and generated, MP4.
        strip: some frames, PNG.
    """

    name: str
    video: str
    strip: str


def render_page(
    report: Report,
    *,
    title: str,
    summary: str,
    clips: Sequence[ClipFiles],
    facts: Mapping[str, str],
    notices: Sequence[str] = (),
) -> str:
    """The HTML of a report; everything that is put into it is escaped.

    Args:
        report: the scores.
        title: heading of the page.
        summary: one line below it.
        clips: videos and strips in order.
        facts: what the report was made from, by name.
        notices: what went otherwise than asked for (a damaged checkpoint was left out).
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = resources.files("vs_eval").joinpath("templates/report.html.j2").read_text("utf-8")
    present = {name.partition("/")[0] for name in report.totals}
    return environment.from_string(template).render(
        title=title,
        summary=summary,
        notices=notices,
        tables=[*tables(report), clip_table(report)],
        clips=clips,
        measures=[measure for measure in MEASURES if measure.name in present and not measure.name.startswith("first_")],
        facts=list(facts.items()),
    )
