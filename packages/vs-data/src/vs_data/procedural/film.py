"""How shots of a person, taken by a procedural world, become clips."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Generic, Literal, TypeVar

import attrs
import numpy as np
import torch
from torch import Tensor

from vs_data.clips import Clip, ClipRequest, References, SequenceInfo, check_request
from vs_data.procedural.arrays import F32, Bytes

ShotT = TypeVar("ShotT")
"""What a world sees of a person at a moment."""

MAX_IDENTITIES = 500_000
"""Training identities are numbered from 0, validation identities from here, so that the two never share a person."""


def _no_boxes(_shots: Sequence[object]) -> Mapping[str, Tensor]:
    return {}


@attrs.frozen(kw_only=True)
class Studio(Generic[ShotT]):
    """The means of a world of people to make clips.

    Attributes:
        shoot: (sequence of the person, sequence of the motion, frames) -> a shot of each of these frames.
        picture: shot -> (3,H,W) float32 in [0,1].
        labels: shots -> kind of label -> labels of them.
        flow: (shot, other shot) -> where what one shows is in the other (2,H,W), and whether it can be seen (1,H,W).
        regions: shot -> (H,W) uint8 ids of `vs_data.clips.REGIONS`.
        boxes: shots -> `Clip.boxes` of them.
    """

    shoot: Callable[[int, int, Sequence[int]], list[ShotT]]
    picture: Callable[[ShotT], F32]
    labels: Callable[[Sequence[ShotT]], Mapping[str, Tensor]]
    flow: Callable[[ShotT, ShotT], tuple[F32, F32]]
    regions: Callable[[ShotT], Bytes]
    boxes: Callable[[Sequence[ShotT]], Mapping[str, Tensor]] = _no_boxes


def person_of(request: ClipRequest) -> int:
    """Return the sequence whose person a request shows."""
    return request.sequence if request.reference_sequence is None else request.reference_sequence


def frames_of(request: ClipRequest) -> range:
    """Return which frames of its sequence a request is about."""
    return range(request.start, request.start + request.length)


def name_people(
    word: str, split: Literal["train", "val"], people: int, motions: int, frames: int
) -> tuple[int, tuple[SequenceInfo, ...]]:
    """Return the number of the first person of a split, and its sequences: each person in some motions."""
    first = {"train": 0, "val": MAX_IDENTITIES}[split]
    return first, tuple(
        SequenceInfo(name=f"{word}-{first + person:06d}-{motion}", frames=frames)
        for person in range(people)
        for motion in range(motions)
    )


def film(studio: Studio[ShotT], sequences: Sequence[SequenceInfo], request: ClipRequest) -> Clip:
    """Return the clip of a request: with a `reference_sequence`, that one's person in this sequence's motion.

    Raises:
        RequestError: there is no such sequence, or it has no such frames.
    """
    info = check_request(sequences, request)
    shots = studio.shoot(person_of(request), request.sequence, frames_of(request))
    flow, confidence = _flow_within(studio, shots)
    driven = "" if request.reference_sequence is None else f" of {sequences[request.reference_sequence].name}"
    return Clip(
        frames=_frames(studio, shots),
        labels=studio.labels(shots),
        flow=flow,
        flow_confidence=confidence,
        references=_references(studio, sequences, request, shots) if request.references else None,
        regions=torch.from_numpy(np.stack([studio.regions(shot) for shot in shots])),
        boxes=studio.boxes(shots),
        name=f"{info.name} frame {request.start}{driven}",
    )


def _references(
    studio: Studio[ShotT], sequences: Sequence[SequenceInfo], request: ClipRequest, shots: Sequence[ShotT]
) -> References:
    shown = person_of(request)
    examples = studio.shoot(shown, shown, request.references)
    flow, confidence = _flow_to(studio, examples, shots)
    return References(
        frames=_frames(studio, examples),
        labels=studio.labels(examples),
        flow=flow,
        flow_confidence=confidence,
        name=f"{sequences[shown].name} frames {', '.join(map(str, request.references))}",
    )


def _frames(studio: Studio[ShotT], shots: Sequence[ShotT]) -> Tensor:
    """Return (n,3,H,W) in [-1,1]."""
    pictures = np.stack([studio.picture(shot) for shot in shots])
    return torch.from_numpy(np.clip(pictures * np.float32(2) - np.float32(1), -1, 1))


def _flow_within(studio: Studio[ShotT], shots: Sequence[ShotT]) -> tuple[Tensor, Tensor]:
    """Return (T,2,H,W) and (T,1,H,W): flow from each shot to the one before, 0 for the first, and confidence."""
    size = studio.regions(shots[0]).shape
    pairs = [(np.zeros((2, *size), np.float32), np.zeros((1, *size), np.float32))]
    pairs += [studio.flow(shot, before) for before, shot in pairwise(shots)]
    flow, confidence = (torch.from_numpy(np.stack(values)) for values in zip(*pairs, strict=True))
    return flow, confidence


def _flow_to(studio: Studio[ShotT], examples: Sequence[ShotT], shots: Sequence[ShotT]) -> tuple[Tensor, Tensor]:
    """Return (T,K,2,H,W) and (T,K,1,H,W): flow from each shot to each example, and the confidence in it."""
    pairs = [studio.flow(shot, example) for shot in shots for example in examples]
    flow, confidence = (torch.from_numpy(np.stack(values)) for values in zip(*pairs, strict=True))
    leading = (len(shots), len(examples))
    return flow.unflatten(0, leading), confidence.unflatten(0, leading)
