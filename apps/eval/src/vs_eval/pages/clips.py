"""Videos of a page: as much of them as it may be large, each with the places of its panels."""

import base64
from collections.abc import Sequence
from pathlib import Path

import attrs

from vs_eval.files import ClipFiles, PanelPlace, Picture
from vs_eval.pages.content import Clip, Player, Shown

MEGABYTE = 10**6

LARGEST_SIDE = 16384
"""Pixels of a panel at most: canvases of browsers end there."""


class Room:
    """The room that a page still has, in bytes of its file."""

    def __init__(self, megabytes: float) -> None:
        self.left = int(megabytes * MEGABYTE)

    def read(self, path: Path) -> str | None:
        """Return a file in base64, or None where it is not there or does not fit any more."""
        try:
            size = 4 * (path.stat().st_size // 3 + 1)
            if not path.is_file() or size > self.left:
                return None
            content = path.read_bytes()
        except OSError:
            return None
        self.left -= size
        return base64.b64encode(content).decode("ascii")


def player_of(files: Sequence[ClipFiles], directory: Path, room: Room, ident: str) -> Player | None:
    """Return a player of the videos of some clips; None where there are none that say where their panels are."""
    playable = [one for one in files if _panels(one) and one.frames > 0 and one.fps > 0]
    clips, left_out = [], []
    for one in playable:
        video = room.read(directory / one.video) if is_name(one.video) else None
        if video is None:
            left_out.append(one.name)
        else:
            clips.append(Clip(name=one.name, video=video, frames=one.frames, fps=one.fps, panels=_panels(one)))
    return Player(ident=ident, clips=tuple(clips), left_out=tuple(left_out)) if playable else None


def pictures_of(pictures: Sequence[Picture], directory: Path, room: Room) -> tuple[Shown, ...]:
    """Return the pictures that are there and fit, as PNG."""
    found = [(one, room.read(directory / one.file)) for one in pictures if is_name(one.file)]
    return tuple(Shown(title=one.title, url=f"data:image/png;base64,{data}") for one, data in found if data is not None)


def is_name(file: str) -> bool:
    """Whether it is the name of a file that lies beside the report, and not a path to elsewhere."""
    return Path(file).name == file and file not in ("", "..")


def _panels(files: ClipFiles) -> tuple[PanelPlace, ...]:
    return tuple(panel for panel in files.panels if _is_place(panel))


def _is_place(panel: PanelPlace) -> bool:
    whole = attrs.astuple(panel)[1:]
    return min(whole) >= 0 and max(whole) <= LARGEST_SIDE and panel.width > 0 and panel.height > 0
