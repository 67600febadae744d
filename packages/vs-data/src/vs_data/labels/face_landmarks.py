"""Landmarks of a face as a kind of label: one JSON file per frame becomes an edge map of one channel."""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import real

from vs_data.clips import FloatMaps
from vs_data.driving import Subject, drive, subject_of
from vs_data.fields import folder_name
from vs_data.findings import Finding, some, warning
from vs_data.geometry import apply_to_points
from vs_data.labels.handler import LabelHandler
from vs_data.landmark_files import LANDMARK_EXTENSIONS, read_landmarks, read_track, slightly_outside, smoothed
from vs_data.landmarks import draw_face, is_mirrored, jump_between
from vs_data.layout import place_of
from vs_data.seen import Seen, Size, Trace, Traces, digest_of
from vs_data.views import View, names_of, path_of

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
        extensions=LANDMARK_EXTENSIONS,
        read=partial(_read, config),
        look=_look,
        check_sequence=check_faces,
    )


def _read(config: LandmarksConfig, view: View, frames: Sequence[int], subject: View | None) -> Tensor:
    """Read landmarks, smooth them over time, bring them to the subject's proportions and draw them: (n,1,H,W)."""

    def read(frame: int) -> NDArray[np.float64]:
        return read_landmarks(path_of(view.root, config.folder, view.files, frame), view.geometry.source)

    points = smoothed(read, frames, len(view.files.frames), config.smoothing)
    if subject is not None:
        points = drive(points, _subject_of(config, view), _subject_of(config, subject))
    geometry = view.geometry if subject is None else subject.geometry
    drawings = [draw_face(apply_to_points(geometry, face), geometry.size) for face in points]
    return torch.from_numpy(np.stack(drawings)[:, None])  # (n,1,H,W)


def _subject_of(config: LandmarksConfig, view: View) -> Subject:
    folder = str(place_of(view.root, config.folder, view.files))
    return _sequence_subject(folder, names_of(view.files, config.folder), view.geometry.source)


@lru_cache(maxsize=256)
def _sequence_subject(folder: str, names: tuple[str, ...], picture: Size) -> Subject:
    return subject_of(read_track(folder, names, picture))


def _look(path: Path, picture: Size | None) -> Seen:
    """Look at one file; landmarks a little outside of the picture are a warning."""
    points = read_landmarks(path, picture)
    trace = landmark_trace(points)
    outside = None if picture is None else slightly_outside(points, picture)
    if outside is None:
        return Seen(trace=trace)
    fix = "fine for a face that is cut off by the picture's edge"
    return Seen(trace=trace, findings=(warning("landmarks outside of the picture", path, outside, fix),))


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
