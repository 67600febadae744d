"""Keypoints of a person as a kind of label: one JSON file per frame becomes a drawing of the skeleton."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import Check, Problem, check_fields, choice, real, table, whole

from vs_data.body_driving import BodySubject, body_subject_of, drive_body
from vs_data.boxes import boxes_of
from vs_data.clips import FloatMaps
from vs_data.content import Content, Contents, FrameOfVideo, Member, all_in, content_in, version_of
from vs_data.errors import DataError
from vs_data.fields import folder_name
from vs_data.findings import Finding, some, warning
from vs_data.geometry import apply_to_points, same_size
from vs_data.keypoint_files import KEYPOINT_EXTENSIONS, Person, are_normalised, read_people, without_doubt
from vs_data.labels.handler import ANY_PICTURE, LabelHandler, LooseFiles, Target
from vs_data.people import choose, follow_all, jump_between_poses, smoothed_poses, there
from vs_data.seen import Seen, Size, Trace, Traces, digest_of
from vs_data.skeletons import (
    BUILT_IN,
    Skeleton,
    SkeletonConfig,
    draw_layers,
    draw_skeleton,
    exchanged,
    layers_of,
    skeleton_of,
)
from vs_data.views import View, contents_of

NOBODY = 2**16 - 1
"""The number of a person that no frame has."""

BuiltIn = Literal["openpose", "openpose-without-face", "body25", "coco17", "mediapipe33", "dlib68"]


def _check_number(config: KeypointsConfig) -> Iterator[Problem]:
    if config.follow == "number" and config.number is None:
        yield Problem("number", expected="the number of the person who is followed", got=None)
    if config.follow != "number" and config.number is not None:
        yield Problem("number", expected="'none' unless follow = 'number'", got=config.number)


@attrs.frozen(kw_only=True)
class KeypointsConfig:
    """Points of a person, one JSON file per frame: `FOLDER/SEQ/FRAME.json`; the label is a drawing of the skeleton.

    Files are lists of [x, y] or [x, y, confidence], or what OpenPose, COCO or MediaPipe write. A drawing has values in
    [0, 1], black where nothing is; where nobody is in a frame it is empty.
    """

    kind: ClassVar[str] = "keypoints"

    folder: str = folder_name("poses-openpose", "folder of the keypoints, beside the images")
    skeleton: BuiltIn = choice("openpose", "which points there are, and what is drawn", tuple(BUILT_IN))
    own: SkeletonConfig | None = table(None, "a skeleton of one's own in the place of `skeleton`")
    channels: Literal["colours", "limbs"] = choice(
        "colours",
        "one picture in colours (3 channels), or a channel for each limb of the body and each other part",
        ("colours", "limbs"),
    )
    units: Literal["auto", "pixels", "normalised"] = choice(
        "auto",
        "what coordinates are: pixels, or parts of the picture; auto: of MediaPipe parts, of all others pixels",
        ("auto", "pixels", "normalised"),
    )
    min_confidence: float = real(0.05, "points of less confidence are not drawn", low=0.0, high=1.0)
    follow: Literal["largest", "nearest", "number"] = choice(
        "largest",
        "who is drawn of several people: the largest, the one nearest to that of the frame before, or by number",
        ("largest", "nearest", "number"),
    )
    number: int | None = whole(
        None, "number of the person who is followed (person_id, track_id)", low=0, high=2**31 - 1, optional=True
    )
    smoothing: float = real(
        0.0, "width of the Gaussian that smooths points over time; 0: no smoothing", low=0.0, high=30.0, unit="frames"
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("follow", "number"), _check_number),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def skeleton_in(config: KeypointsConfig) -> Skeleton:
    """Return the skeleton that is read and drawn."""
    return BUILT_IN[config.skeleton] if config.own is None else skeleton_of(config.own)


def handle_keypoints(config: KeypointsConfig) -> LabelHandler:
    """Return what is done with keypoints."""
    channels = 3 if config.channels == "colours" else max(layers_of(skeleton_in(config))) + 1
    return LabelHandler(
        info=FloatMaps(channels=channels, title="pose"),
        says="keypoints of a person, drawn as limbs",
        extensions=KEYPOINT_EXTENSIONS,
        read=partial(_read, config),
        open_loose=partial(_open_loose, config),
        of_levels=partial(_of_levels, channels),
        exact_levels=False,
        level_channels=3,
        framed=True,
        target=partial(_target, config),
        look=partial(_look, config),
        check_sequence=partial(_check_sequence, config),
        boxes=partial(_boxes, config),
    )


def draw_poses(config: KeypointsConfig, poses: NDArray[np.float64], size: Size) -> Tensor:
    """Draw poses (n, points, 3), pixels of the final picture: (n, C, H, W)."""
    draw = draw_skeleton if config.channels == "colours" else draw_layers
    return torch.from_numpy(np.stack([draw(pose, skeleton_in(config), size) for pose in poses]))


def _read(config: KeypointsConfig, view: View, frames: Sequence[int], subject: View | None) -> Tensor:
    """Read keypoints and draw them in the geometry of whoever is shown: (n, C, H, W)."""
    target = Target(geometry=view.geometry) if subject is None else _target(config, subject)
    return draw_poses(config, _poses(config, view, frames, target), target.geometry.size)


def _boxes(config: KeypointsConfig, view: View, frames: Sequence[int], subject: View | None) -> dict[str, Tensor]:
    """Return the boxes (n, B, 4) of face and hands where they are drawn."""
    target = Target(geometry=view.geometry) if subject is None else _target(config, subject)
    poses = _poses(config, view, frames, target)
    found = [boxes_of(pose, skeleton_in(config), target.geometry.size) for pose in poses]
    return {name: torch.from_numpy(np.stack([each[name] for each in found])) for name in found[0]}


def _poses(config: KeypointsConfig, view: View, frames: Sequence[int], target: Target) -> NDArray[np.float64]:
    """Return the points of who is followed in some frames, where they are drawn: (n, points, 3)."""
    skeleton = skeleton_in(config)
    contents, picture = contents_of(view, config.folder), view.geometry.source
    poses = smoothed_poses(_points_of(config, contents, picture), frames, len(view.files.frames), config.smoothing)
    match target.subject:
        case BodySubject() as subject:
            poses = drive_body(poses, _sequence_subject(config, contents, picture), subject, skeleton)
        case _:
            pass
    geometry = target.geometry
    moved = np.concatenate([apply_to_points(geometry, poses[..., :2]), poses[..., 2:]], axis=-1)
    moved = np.where(there(poses)[..., None], moved, 0.0)
    return exchanged(moved, skeleton) if geometry.flip else moved


def _points_of(config: KeypointsConfig, contents: Contents, picture: Size) -> Callable[[int], NDArray[np.float64]]:
    """Return what finds the points of who is followed in a frame; nobody: all absent."""
    if config.follow == "nearest":  # who that is, is decided from the first frame on
        numbers = _nearest_ones(config, contents, picture)

        def chosen_at(frame: int) -> NDArray[np.float64] | None:
            people = _people_at(config, contents, frame, picture)
            return people[numbers[frame]].points if numbers[frame] < len(people) else None
    else:

        def chosen_at(frame: int) -> NDArray[np.float64] | None:
            return choose(_people_at(config, contents, frame, picture), config.follow, config.number or 0, None)

    def points_of(frame: int) -> NDArray[np.float64]:
        chosen = chosen_at(frame)
        return np.zeros((len(skeleton_in(config).points), 3)) if chosen is None else chosen

    return points_of


def _people_at(config: KeypointsConfig, contents: Contents, frame: int, picture: Size) -> tuple[Person, ...]:
    content = content_in(contents, frame)
    return () if content is None else _people(config, content, picture)


def _people(config: KeypointsConfig, content: Content, picture: Size | None) -> tuple[Person, ...]:
    """Read the people of a frame, without the points that are doubtful; once for its label and its boxes."""
    match content:
        case Path() | Member():
            try:
                version = version_of(content)
            except OSError:
                version = (0, 0)  # reading it says what is wrong
            return _people_in(config, content, picture, version)
        case FrameOfVideo():
            return _people_in(config, content, picture, (0, 0))


@lru_cache(maxsize=256)  # some kilobytes each
def _people_in(
    config: KeypointsConfig, content: Content, picture: Size | None, _version: tuple[int, int]
) -> tuple[Person, ...]:
    people = read_people(content, skeleton_in(config), picture, config.units)
    return tuple(attrs.evolve(one, points=without_doubt(one.points, config.min_confidence)) for one in people)


@lru_cache(maxsize=2**14)  # 2 bytes a frame
def _nearest_ones(config: KeypointsConfig, contents: Contents, picture: Size) -> NDArray[np.uint16]:
    """Return which person of each frame is followed, from the first frame on; one beyond all people: nobody."""
    numbers = np.full(contents.count, NOBODY, np.uint16)
    last = None
    for frame in range(contents.count):
        people = _people_at(config, contents, frame, picture)
        chosen = choose(people, "nearest", 0, last)
        if chosen is not None:
            last = chosen
            numbers[frame] = next(number for number, one in enumerate(people) if one.points is chosen)
    return numbers


@lru_cache(maxsize=8)  # 3 kB a frame
def _sequence_track(config: KeypointsConfig, contents: Contents, picture: Size) -> NDArray[np.float64]:
    frames = [_people_at(config, contents, frame, picture) for frame in range(contents.count)]
    return follow_all(frames, len(skeleton_in(config).points), config.follow, config.number or 0)


@lru_cache(maxsize=256)
def _sequence_subject(config: KeypointsConfig, contents: Contents, picture: Size) -> BodySubject:
    return body_subject_of(_sequence_track(config, contents, picture), skeleton_in(config))


def _target(config: KeypointsConfig, subject: View) -> Target:
    """Return how bodies are drawn that are to become that of a sequence."""
    contents, picture = contents_of(subject, config.folder), subject.geometry.source
    if not there(_sequence_track(config, contents, picture)).any():
        what = "nobody is in any of its frames, who could be shown in another's motion"
        raise DataError(what, file=contents.place, fix="take another sequence as the subject")
    return Target(geometry=subject.geometry, subject=_sequence_subject(config, contents, picture))


def _open_loose(config: KeypointsConfig, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    """Draw keypoints as the subject's body, or where they are in their own pictures."""
    target = Target(geometry=files.geometry()) if files.target is None else files.target
    # Of a driver neither place nor size in its pictures matters, so that nobody needs to know how large these are,
    # unless its points are parts of them.
    view = files.view(same_size(ANY_PICTURE))
    contents = all_in(contents_of(view, config.folder))
    if files.target is None or are_normalised(contents, skeleton_in(config), config.units):
        view = files.view(files.geometry())
    size = target.geometry.size
    return size, lambda frames: draw_poses(config, _poses(config, view, frames, target), size)


def _of_levels(channels: int, levels: NDArray[np.uint8], where: str) -> Tensor:
    """Return a picture of a drawing as the drawing (C, H, W), in which 255 is 1."""
    maps = np.repeat(levels[..., None], 3, axis=2) if levels.ndim == 2 else levels
    if channels != 3:
        what = f"a picture has 3 channels, these drawings have {channels}"
        raise DataError(what, file=where, fix="give the keypoints themselves, as JSON files")
    return torch.from_numpy(np.ascontiguousarray(maps.transpose(2, 0, 1), dtype=np.float32) / 255)


def _look(config: KeypointsConfig, content: Content, picture: Size | None) -> Seen:
    """Look at one file; where nobody is in it, its trace has no points."""
    people = _people(config, content, picture)
    follow = "largest" if config.follow == "nearest" else config.follow
    points = choose(people, follow, config.number or 0, None)
    # Without an outline: limbs are not where bodies end, so that steps between labels and frames are not told by them.
    return Seen(trace=Trace(digest=digest_of(np.zeros(0) if points is None else points), points=points))


def _check_sequence(config: KeypointsConfig, place: str, names: Sequence[str], traces: Traces) -> Iterator[Finding]:
    """Warn of frames without anybody, and of persons that jump, unless whoever is nearest is followed."""
    yield from warn_of_nobody(place, names, traces)
    if config.follow != "nearest":
        yield from warn_of_jumps(place, names, traces, "follow = 'nearest', or 'number' where the files number people")


def warn_of_nobody(place: str, names: Sequence[str], traces: Traces) -> Iterator[Finding]:
    """Warn of frames of a sequence whose traces have no points: the person who is followed is in none of them."""
    empty = [name for name, trace in zip(names, traces, strict=True) if trace is not None and trace.points is None]
    if empty:
        what = f"nobody is in {len(empty)} of {len(names)} frames: {some(empty)}"
        fix = "their labels are empty; leave such frames out, unless that is meant"
        yield warning("frames without anybody", place, what, fix)


def warn_of_jumps(place: str, names: Sequence[str], traces: Traces, fix: str) -> Iterator[Finding]:
    """Warn where the points (n, 3) of neighbouring frames cannot be of one person."""
    poses = [None if trace is None else trace.points for trace in traces]
    jumps = [
        (f"between {names[index]} and {names[index + 1]}", how)
        for index, (before, after) in enumerate(pairwise(poses))
        if before is not None and after is not None and (how := jump_between_poses(before, after)) is not None
    ]
    if jumps:
        what = f"another person is followed {some([where for where, _ in jumps])} (first: {jumps[0][1]})"
        yield warning("people who jump", place, what, fix)
