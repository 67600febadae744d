"""Landmarks of a face as a kind of label: one JSON file per frame becomes an edge map of one channel."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import ClassVar

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import real

from vs_data.clips import FloatMaps
from vs_data.content import Content, Contents
from vs_data.driving import Subject, drive, subject_of
from vs_data.fields import folder_name
from vs_data.findings import Finding, some, warning
from vs_data.geometry import apply_to_points, same_size
from vs_data.labels.handler import ANY_PICTURE, LabelHandler, LooseFiles, Target
from vs_data.landmark_files import LANDMARK_EXTENSIONS, read_landmarks, read_track, slightly_outside, smoothed
from vs_data.landmarks import draw_face, is_mirrored, jump_between
from vs_data.seen import Seen, Size, Trace, Traces, digest_of
from vs_data.views import View, content_of, contents_of

LANDMARKS = FloatMaps(channels=1, title="landmarks")
"""The drawings of landmarks as networks and pictures take them, whoever makes them."""


@attrs.frozen(kw_only=True)
class LandmarksConfig:
    """68 landmarks of a face in dlib's order, one JSON file per frame: `FOLDER/SEQ/FRAME.json`, a list of [x, y] pairs.

    The label is an edge map of the face, one channel, see `draw_face`.
    """

    kind: ClassVar[str] = "landmarks-dlib68"

    folder: str = folder_name("landmarks-dlib68", "folder of the landmarks, beside the images")
    smoothing: float = real(
        1.0,
        "width of the Gaussian that smooths landmarks over time; 0: no smoothing",
        low=0.0,
        high=30.0,
        unit="frames",
    )


def handle_landmarks(config: LandmarksConfig) -> LabelHandler:
    """Return what is done with landmarks."""
    return LabelHandler(
        info=LANDMARKS,
        says="68 landmarks of a face, drawn as lines",
        extensions=LANDMARK_EXTENSIONS,
        read=partial(_read, config),
        open_loose=partial(_open_loose, config),
        of_levels=_of_levels,
        exact_levels=False,
        framed=True,
        target=partial(_target, config),
        look=_look,
        check_sequence=check_faces,
    )


@attrs.frozen(kw_only=True, eq=False)
class Track:
    """Landmarks of a whole sequence.

    Attributes:
        points_of: frame -> landmarks (68,2), pixels of the sequence's pictures.
        total: how many frames there are.
        subject: returns whose face it is.
    """

    points_of: Callable[[int], NDArray[np.float64]]
    total: int
    subject: Callable[[], Subject]


def draw_track(config: LandmarksConfig, track: Track, frames: Sequence[int], target: Target) -> Tensor:
    """Smooth landmarks over time, bring them to the subject's proportions and draw them: (n,1,H,W)."""
    points = smoothed(track.points_of, frames, track.total, config.smoothing)
    match target.subject:
        case Subject() as subject:
            points = drive(points, track.subject(), subject)
        case _:
            pass
    geometry = target.geometry
    drawings = [draw_face(apply_to_points(geometry, face), geometry.size) for face in points]
    return torch.from_numpy(np.stack(drawings)[:, None])  # (n,1,H,W)


def track_of(config: LandmarksConfig, view: View) -> Track:
    """Return the landmarks in the files of a sequence."""

    def read(frame: int) -> NDArray[np.float64]:
        return read_landmarks(content_of(view, config.folder, frame), view.geometry.source)

    return Track(points_of=read, total=len(view.files.frames), subject=lambda: _subject_of(config, view))


def _open_loose(config: LandmarksConfig, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    """Draw landmarks as the subject's face, or where they are in their own pictures."""
    target = Target(geometry=files.geometry()) if files.target is None else files.target
    # Of a driver neither place nor size in its pictures matters, so that nobody needs to know how large these are.
    view = files.view(target.geometry if files.target is None else same_size(ANY_PICTURE))
    track = track_of(config, view)
    return target.geometry.size, lambda frames: draw_track(config, track, frames, target)


def _of_levels(levels: NDArray[np.uint8], _where: str) -> Tensor:
    """Return greys as a drawing (1,H,W), in which 255 is 1."""
    grey = levels if levels.ndim == 2 else levels.mean(axis=2, dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(grey, dtype=np.float32) / 255)[None]


def _target(config: LandmarksConfig, subject: View) -> Target:
    """Return how faces are drawn that are to become that of a sequence."""
    return Target(geometry=subject.geometry, subject=_subject_of(config, subject))


def _read(config: LandmarksConfig, view: View, frames: Sequence[int], subject: View | None) -> Tensor:
    """Read landmarks and draw them in the geometry of whoever is shown: (n,1,H,W)."""
    target = Target(geometry=view.geometry) if subject is None else _target(config, subject)
    return draw_track(config, track_of(config, view), frames, target)


def _subject_of(config: LandmarksConfig, view: View) -> Subject:
    return _sequence_subject(contents_of(view, config.folder), view.geometry.source)


@lru_cache(maxsize=256)
def _sequence_subject(contents: Contents, picture: Size) -> Subject:
    return subject_of(read_track(contents, picture))


def _look(content: Content, picture: Size | None) -> Seen:
    """Look at one file; landmarks a little outside of the picture are a warning."""
    points = read_landmarks(content, picture)
    trace = landmark_trace(points)
    outside = None if picture is None else slightly_outside(points, picture)
    if outside is None:
        return Seen(trace=trace)
    fix = "fine for a face that is cut off by the picture's edge"
    return Seen(trace=trace, findings=(warning("landmarks outside of the picture", content, outside, fix),))


def landmark_trace(points: NDArray[np.float64]) -> Trace:
    """Return the trace of the landmarks (68,2) of a face."""
    return Trace(digest=digest_of(points), points=points)


def check_faces(place: str, names: Sequence[str], traces: Traces) -> Iterator[Finding]:
    """Warn of faces that jump or are mirrored.

    Args:
        place: The folder of the landmarks.
        names: Of the frames.
        traces: Of their landmarks.
    """
    faces = [None if trace is None else trace.points for trace in traces]
    mirrored = [face is not None and is_mirrored(face) for face in faces]
    swapped = [name for name, wrong in zip(names, mirrored, strict=True) if wrong]
    if swapped:
        what = f"right and left of the face are exchanged in {len(swapped)} of {len(names)} frames: {some(swapped)}"
        fix = "number the points as dlib does, the face's right side first; in mirrored pictures too"
        yield warning("mirrored landmarks", place, what, fix)
    jumps = []
    for index, (before, after) in enumerate(pairwise(faces)):
        if before is None or after is None or mirrored[index] != mirrored[index + 1]:
            continue
        how = jump_between(before, after)
        if how is not None:
            jumps.append((f"between {names[index]} and {names[index + 1]}", how))
    if jumps:
        what = f"the face jumps {some([where for where, _ in jumps])} (first: {jumps[0][1]})"
        fix = "follow one person in a sequence; smoothing does not reach across a jump"
        yield warning("landmarks that jump", place, what, fix)
