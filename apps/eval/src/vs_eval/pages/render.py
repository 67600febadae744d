"""From a page to its HTML: style, script and everything else in it, and nothing that could be loaded from elsewhere."""

import base64
import hashlib
import re
from importlib import resources
from typing import Any

import attrs
import vs_config
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from vs_eval.pages.content import Jump, Jumps, Page, Player
from vs_eval.report import Table

SIGN = '<meta name="generator" content="vs-eval">'
"""What a page is known by: only such a file is replaced."""

_NUMBER = re.compile(r"[-+−]?\d|–$|yes$|no$")

POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; img-src data:; media-src blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""What a browser may do with the page: run its own script, show what is in it, and ask nobody for anything."""


def render(page: Page) -> str:
    """Return the HTML of a page; all text in it is escaped, control characters and marks of direction too."""
    environment = Environment(
        autoescape=True, finalize=_visible, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = _asset("page.js")
    return environment.from_string(_asset("page.html.j2")).render(
        page=page,
        sign=Markup(SIGN),  # noqa: S704 - our own
        policy=POLICY.format(script=_digest(script)),
        style=Markup(_asset("page.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        player_data=player_data,
        is_jump=lambda cell: isinstance(cell, Jump),
        text_columns=text_columns,
    )


def text_columns(table: Table | Jumps) -> set[int]:
    """Return the numbers of the columns in which not every cell is a number, or a dash in the place of one."""
    columns = enumerate(zip(*table.rows, strict=False))  # other versions' rows may differ
    return {number for number, cells in columns if not all(_NUMBER.match(str(cell)) for cell in cells)}


def player_data(player: Player) -> dict[str, Any]:
    """Return what the script has to know of a player; the videos are apart."""
    return {
        "left": player.left,
        "right": player.right,
        "clips": [
            {
                "name": vs_config.shown(clip.name),
                "frames": clip.frames,
                "fps": clip.fps,
                "panels": [{**attrs.asdict(panel), "title": vs_config.shown(panel.title)} for panel in clip.panels],
            }
            for clip in player.clips
        ],
    }


def _visible(value: Any) -> Any:
    """Return what is shown of a value: markup of our own as it is, everything else escaped where it cannot be seen."""
    match value:
        case Markup():
            return value
        case _:
            return vs_config.shown(value)


def _asset(name: str) -> str:
    return resources.files("vs_eval.pages").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
