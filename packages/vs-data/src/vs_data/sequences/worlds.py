"""The procedural worlds as sources of labels, and of people to show."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vs_data.body_driving import BodySubject, body_subject_of, drive_body
from vs_data.clips import Clip, ClipRequest, ClipSource, References
from vs_data.dancers import DancersConfig, DancersSource, open_dancers
from vs_data.dancers.source import LABELS
from vs_data.driving import subject_of
from vs_data.errors import DataError
from vs_data.faces import FacesConfig, FacesSource, open_faces
from vs_data.faces.source import REGIONS_KIND
from vs_data.geometry import same_size
from vs_data.labels import KeypointsConfig, LabelKind, LandmarksConfig, Target, label_infos, landmarks_among
from vs_data.labels.face_landmarks import Track, draw_track
from vs_data.labels.keypoints import draw_poses, skeleton_in
from vs_data.sampling import iterate_sequence
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence, ReferenceSubject
from vs_data.skeletons import OPENPOSE_BODY25, Skeleton
from vs_data.street import StreetConfig, open_street
from vs_data.street.source import BORDERS, RENDER

WORLDS = ("street", "faces", "dancers")
FRAMES = 60
"""Frames of a world unless another number is asked for."""

_CHUNK = 8
"""Frames rendered at once."""


def world_of(source: str) -> tuple[str, int] | None:
    """Return world and seed of `street:SEED`, `faces:SEED` or `dancers:SEED`; None: it is no world.

    Raises:
        DataError: the seed is no number.
    """
    name, colon, seed = source.partition(":")
    if name not in WORLDS or not colon:
        return None
    if not seed.isascii() or not seed.isdigit() or len(seed) > 18:
        raise DataError(
            f"expected a whole number behind {name}:, got {seed!r}", file=source, fix=f"{name}:7 for example"
        )
    return name, int(seed)


def open_world_labels(world: str, seed: int, how: LabelRequest) -> LabelSequence:
    """Open the labels of a world that no preset trains on: its family of worlds is that of the seed.

    Raises:
        DataError: the world has no such labels as the model takes.
    """
    source = _source(world, seed, how)
    _require_kinds(world, source, how)
    count = how.frames or FRAMES
    return LabelSequence(
        name=f"{world}-{seed}", frames=count, size=how.size, read=partial(_read, world, source, how, count), fps=None
    )


def world_subject(world: str, seed: int, how: LabelRequest, count: int) -> ReferenceSubject:
    """Return a few frames of a world's first person, and its proportions.

    Raises:
        DataError: the world has no such labels as the model takes.
    """
    source = _source(world, seed, how)
    _require_kinds(world, source, how)
    frames = source.sequences[0].frames
    spread = tuple((2 * part + 1) * frames // (2 * count) for part in range(count))
    found = source.read(ClipRequest(sequence=0, start=0, length=1, references=spread)).references
    assert found is not None  # noqa: S101 - they were asked for
    kinds = [kind.folder for kind in how.kinds]
    references = References(frames=found.frames, labels={name: found.labels[name] for name in kinds}, name=found.name)
    return ReferenceSubject(references=references, targets=_targets(source, how))


def _source(world: str, seed: int, how: LabelRequest) -> ClipSource:
    height, width = how.size
    frames = how.frames or FRAMES
    match world:
        case "street":
            street = StreetConfig(
                height=height,
                width=width,
                sequence_length=frames,
                seed=seed,
                val_sequences=1,
                labels=_labels_of_street(how),
            )
            return open_street(street, "val")
        case "faces":
            faces = FacesConfig(
                height=height,
                width=width,
                sequence_length=frames,
                seed=seed,
                val_identities=1,
                motions=1,
                labels=_labels_of_faces(how),
            )
            return open_faces(faces, "val")
        case _:
            wanted = {kind.folder for kind in how.kinds}
            dancers = DancersConfig(
                height=height,
                width=width,
                sequence_length=frames,
                seed=seed,
                val_identities=1,
                motions=1,
                labels=next((name for name, kinds in LABELS.items() if wanted <= set(kinds)), "all"),
            )
            return open_dancers(dancers, "val")


def _labels_of_street(how: LabelRequest) -> Literal["seg_maps", "render", "both", "instances"]:
    wanted = {kind.folder for kind in how.kinds}
    if BORDERS in wanted:
        return "instances"
    return "seg_maps" if RENDER not in wanted else "both" if len(wanted) > 1 else "render"


def _labels_of_faces(how: LabelRequest) -> Literal["landmarks", "regions", "both"]:
    regions = any(kind.folder == REGIONS_KIND for kind in how.kinds)
    return ("both" if regions else "landmarks") if landmarks_among(how.kinds) is not None else "regions"


def _require_kinds(world: str, source: ClipSource, how: LabelRequest) -> None:
    """See that the world has the labels that the model takes, of the same channels."""
    there, wanted = dict(source.label_kinds), label_infos(how.kinds)
    for name, info in wanted.items():
        if name not in there or type(there[name]) is not type(info) or _channels(there[name]) != _channels(info):
            what = f"has no labels like the model's {name!r}"
            raise DataError(what, file=world, fix="name a folder, a video, or a world that the model was trained on")


def _channels(info: object) -> object:
    return getattr(info, "classes", getattr(info, "channels", None))


def _read(world: str, source: ClipSource, how: LabelRequest, count: int) -> Iterator[LabelFrame]:
    start = 0
    for clip in iterate_sequence(source, 0, chunk=_CHUNK, max_frames=count):
        length = clip.frames.shape[0]
        labels = _labels(source, how, clip, range(start, start + length))
        for index in range(length):
            where = f"{world} frame {start + index}"
            one = {name: maps[index] for name, maps in labels.items()}
            yield LabelFrame(
                labels=one,
                name=f"{start + index:06d}",
                where=where,
                motion=_motion(clip, index) if how.motion else None,
            )
        start += length


def _motion(clip: Clip, index: int) -> tuple[Tensor, Tensor]:
    assert clip.flow is not None and clip.flow_confidence is not None  # noqa: S101, PT018 - worlds know their motion
    return clip.flow[index], clip.flow_confidence[index]


def _labels(source: ClipSource, how: LabelRequest, clip: Clip, frames: range) -> dict[str, Tensor]:
    """Return the labels of a clip of some frames, or what they are of another subject."""
    labels = {kind.folder: clip.labels[kind.folder] for kind in how.kinds}
    if how.subject is not None:
        labels |= _driven(source, how, frames, how.subject.targets)
    return labels


def _driven(source: ClipSource, how: LabelRequest, frames: range, targets: Mapping[str, Target]) -> dict[str, Tensor]:
    """Return the labels that have proportions, brought to those of a subject."""
    match source, landmarks_among(how.kinds), _keypoints_among(how.kinds):
        case FacesSource(), LandmarksConfig() as kind, _:
            return {kind.folder: draw_track(kind, _track(source), frames, targets[kind.folder])}
        case DancersSource(), _, KeypointsConfig() as kind:
            return {kind.folder: _driven_poses(kind, _poses(source, skeleton_in(kind)), frames, targets[kind.folder])}
        case _:
            return {}


def _driven_poses(kind: KeypointsConfig, poses: NDArray[np.float64], frames: range, target: Target) -> Tensor:
    """Draw some frames of poses (frames,n,3) as the body of a target."""
    skeleton = skeleton_in(kind)
    assert isinstance(target.subject, BodySubject)  # noqa: S101 - a target of keypoints has no other
    driver = body_subject_of(poses, skeleton)
    driven = drive_body(poses[frames.start : frames.stop], driver, target.subject, skeleton)
    return draw_poses(kind, driven, target.geometry.size)


def _targets(source: ClipSource, how: LabelRequest) -> Mapping[str, Target]:
    place = same_size(how.size)
    match source, landmarks_among(how.kinds), _keypoints_among(how.kinds):
        case FacesSource(), LandmarksConfig() as kind, _:
            return {kind.folder: Target(geometry=place, subject=_track(source).subject())}
        case DancersSource(), _, KeypointsConfig() as kind:
            skeleton = skeleton_in(kind)
            return {kind.folder: Target(geometry=place, subject=body_subject_of(_poses(source, skeleton), skeleton))}
        case _:
            return {}


def _keypoints_among(kinds: Sequence[LabelKind]) -> KeypointsConfig | None:
    return next((kind for kind in kinds if isinstance(kind, KeypointsConfig)), None)


def _poses(source: DancersSource, skeleton: Skeleton) -> NDArray[np.float64]:
    """Return the keypoints of the whole first sequence as points (frames,n,3) of a skeleton; others are absent."""
    whole = ClipRequest(sequence=0, start=0, length=source.sequences[0].frames)
    known = source.keypoints(whole)
    places = [OPENPOSE_BODY25.points.index(name) if name in OPENPOSE_BODY25.points else -1 for name in skeleton.points]
    return np.concatenate([known, np.zeros_like(known[:, :1])], axis=1)[:, places]


def _track(source: FacesSource) -> Track:
    frames = source.sequences[0].frames

    def points(start: int, length: int) -> NDArray[np.float64]:
        return source.landmarks(ClipRequest(sequence=0, start=start, length=length))

    return Track(
        points_of=lambda frame: points(frame, 1)[0], total=frames, subject=lambda: subject_of(points(0, frames))
    )
