"""The procedural worlds as sources of labels, and of people to show."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vs_data.clips import Clip, ClipRequest, ClipSource, References
from vs_data.driving import subject_of
from vs_data.errors import DataError
from vs_data.faces import FacesConfig, FacesSource, open_faces
from vs_data.faces.source import REGIONS_KIND
from vs_data.geometry import same_size
from vs_data.labels import Target, label_infos, landmarks_among
from vs_data.labels.face_landmarks import Track, draw_track
from vs_data.sampling import iterate_sequence
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence, ReferenceSubject
from vs_data.street import StreetConfig, open_street
from vs_data.street.source import RENDER

WORLDS = ("street", "faces")
FRAMES = 60
"""Frames of a world unless another number is asked for."""

_CHUNK = 8
"""Frames rendered at once."""


def world_of(source: str) -> tuple[str, int] | None:
    """Return world and seed of `street:SEED` or `faces:SEED`; None: it is no world.

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
        case _:
            config = FacesConfig(
                height=height,
                width=width,
                sequence_length=frames,
                seed=seed,
                val_identities=1,
                motions=1,
                labels=_labels_of_faces(how),
            )
            return open_faces(config, "val")


def _labels_of_street(how: LabelRequest) -> Literal["seg_maps", "render", "both"]:
    plain = {kind.folder == RENDER for kind in how.kinds}
    return "both" if len(plain) > 1 else "render" if plain == {True} else "seg_maps"


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
    kind = landmarks_among(how.kinds)
    match source:
        case FacesSource() if kind is not None and how.subject is not None:
            target = how.subject.targets[kind.folder]
            labels[kind.folder] = draw_track(kind, _track(source), frames, target)
    return labels


def _targets(source: ClipSource, how: LabelRequest) -> Mapping[str, Target]:
    kind = landmarks_among(how.kinds)
    match source:
        case FacesSource() if kind is not None:
            return {kind.folder: Target(geometry=same_size(how.size), subject=_track(source).subject())}
        case _:
            return {}


def _track(source: FacesSource) -> Track:
    frames = source.sequences[0].frames

    def points(start: int, length: int) -> NDArray[np.float64]:
        return source.landmarks(ClipRequest(sequence=0, start=start, length=length))

    return Track(
        points_of=lambda frame: points(frame, 1)[0], total=frames, subject=lambda: subject_of(points(0, frames))
    )
