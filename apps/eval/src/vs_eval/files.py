"""What is written of an evaluation beside its scores: videos, strips, pictures, and what each of them shows."""

import attrs


@attrs.frozen(kw_only=True)
class PanelPlace:
    """A panel of a video: what it shows, and where its picture is, in pixels from the upper left."""

    title: str
    x: int
    y: int
    width: int
    height: int


@attrs.frozen(kw_only=True)
class ClipFiles:
    """The files of one clip, relative to the report.

    Attributes:
        name: the clip's name.
        video: all panels of every frame, MP4.
        strip: some frames, PNG.
        frames: how many frames the video has.
        fps: how many of them a second.
        panels: what the video shows where.
    """

    name: str
    video: str
    strip: str
    frames: int
    fps: float
    panels: tuple[PanelPlace, ...]


@attrs.frozen(kw_only=True)
class Picture:
    """A picture that is of no single clip: what it shows, and its file, relative to the report."""

    title: str
    file: str
