"""Clips, what is known about sequences, and the protocol of everything that clips can be read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import attrs
import torch
from torch import Tensor

from vs_data.errors import RequestError, VsDataError


@attrs.frozen(kw_only=True)
class ClassIds:
    """A kind of label that is one class id per pixel.

    Attributes:
        classes: Number of class ids: 0 to `classes` - 1.
        ignore_id: Id of pixels without a class; None: there are none.
        names: What the classes are called, in the order of their ids; empty where nobody knows. Networks do not see
            them: they tell which class of one source is which of another.
    """

    classes: int
    ignore_id: int | None = None
    names: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class FloatMaps:
    """A kind of label that is maps of numbers.

    Attributes:
        channels: How many maps there are.
        title: What pictures of them are called.
        pictures: Whether they are a picture in [-1, 1] (one channel: greys, three: RGB) and are shown as one; else they
            are lines (edges, landmarks, poses), in [0, 1]: three maps are shown as colours, of others the strongest.
    """

    channels: int
    title: str = "label"
    pictures: bool = False


LabelInfo: TypeAlias = ClassIds | FloatMaps


def class_ids_in(infos: Mapping[str, LabelInfo]) -> dict[str, ClassIds]:
    """Return those of some kinds of labels that are class ids."""
    return {kind: info for kind, info in infos.items() if isinstance(info, ClassIds)}


REGIONS = ("background", "skin", "hair", "clothes", "features")
"""What the ids of `Clip.regions` mean; "features" are eyes, brows, lips, glasses: all in the head that is no skin."""

HEAD_REGIONS = (1, 2, 4)
"""Ids of the regions that are part of the head."""


@attrs.frozen(kw_only=True, eq=False)
class References:
    """K example frames of the subject of a clip. Batched clips have a leading N on every tensor.

    Attributes:
        frames: (K,3,H,W) float32 in [-1,1], RGB.
        labels: Kind -> (K,H,W) class ids or (K,C,H,W) float32 maps, as in the clip.
        flow: (T,K,2,H,W) float32, pixels, x then y: pixel p of frame t was at p + flow in reference k. None without a
            teacher.
        flow_confidence: (T,K,1,H,W) float32 in [0,1].
        name: For messages: sequence and frames.
    """

    frames: Tensor
    labels: Mapping[str, Tensor] = attrs.field(factory=dict)
    flow: Tensor | None = None
    flow_confidence: Tensor | None = None
    name: str = ""


@attrs.frozen(kw_only=True, eq=False)
class Clip:
    """Consecutive frames of one sequence with their conditioning. Batched clips have a leading N on every tensor.

    Attributes:
        frames: (T,3,H,W) float32 in [-1,1], RGB.
        labels: Kind -> (T,H,W) uint8 or int64 class ids, never one-hot, or (T,C,H,W) float32 maps.
        flow: (T,2,H,W) float32, pixels, x then y; backward: pixel p of frame t was at p + flow in frame t-1. Zeros at
            t = 0 of the clip. None when there is no teacher.
        flow_confidence: (T,1,H,W) float32 in [0,1], 1 where the flow is to be trusted; zeros at t = 0.
        instances: (T,H,W) int32 instance ids where a world knows them, to be written to folders; networks are shown
            their borders, which are a kind of label. Else None.
        references: Example frames of the subject, or None when none were asked for.
        regions: (T,H,W) uint8 ids of `REGIONS`, to measure by, not to condition on; None where nobody knows them.
        boxes: Region of a person ("face", "hand") -> (T,B,4) float32 left, top, right, bottom of squares around it,
            pixels, as many in every frame (two hands); all zero where there is none to see. Discriminators of regions
            look there; networks do not see them.
        name: For messages: sequence and first frame.
    """

    frames: Tensor
    labels: Mapping[str, Tensor] = attrs.field(factory=dict)
    flow: Tensor | None = None
    flow_confidence: Tensor | None = None
    instances: Tensor | None = None
    references: References | None = None
    regions: Tensor | None = None
    boxes: Mapping[str, Tensor] = attrs.field(factory=dict)
    name: str = ""

    def pin_memory(self) -> Clip:
        """Return this clip in page-locked memory (the name is what PyTorch's loader looks for)."""
        return map_tensors(lambda tensor: tensor.pin_memory(), self)


@attrs.frozen(kw_only=True)
class SequenceInfo:
    """One sequence of a source: its name and how many frames it has."""

    name: str
    frames: int


@attrs.frozen(kw_only=True)
class ClipRequest:
    """A request for a clip.

    Attributes:
        sequence: Index into the source's `sequences`.
        start: First frame.
        length: Number of frames, at least 1.
        seed: Fixes whatever is random in reading (augmentation); it does not interact with `start`, so that two
            requests with one seed see the sequence augmented alike.
        references: Frames to give as examples of the subject, of `reference_sequence`.
        reference_sequence: Where they are from; None: the sequence itself. When it is another one, that one's subject
            is driven by this one's motion: labels are brought to the proportions of the reference's subject, and the
            clip's frames are that subject in this motion where the source can draw it (its `regions` are there then),
            else the driving frames.
    """

    sequence: int
    start: int
    length: int
    seed: int = 0
    references: tuple[int, ...] = ()
    reference_sequence: int | None = None


@runtime_checkable
class ClipSource(Protocol):
    """A place where clips come from. It can be pickled, and `read` is a pure function of the source and the request."""

    @property
    def sequences(self) -> tuple[SequenceInfo, ...]:
        """The sequences that there are."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every clip, pixels."""

    @property
    def label_kinds(self) -> Mapping[str, LabelInfo]:
        """Name of each kind of label -> what it is, in the order in which networks get them."""

    def read(self, request: ClipRequest) -> Clip:
        """Read the clip, without N axis. Raises `RequestError` for what is out of range, `DataError` for bad data."""


def check_request(sequences: Sequence[SequenceInfo], request: ClipRequest) -> SequenceInfo:
    """Return the sequence that a request is about; `RequestError` when the request is out of range."""
    if not 0 <= request.sequence < len(sequences):
        raise RequestError(f"sequence {request.sequence} asked for, there are {len(sequences)} (counted from 0)")
    info = sequences[request.sequence]
    if request.length < 1 or request.start < 0 or request.start + request.length > info.frames:
        raise RequestError(
            f"frames {request.start} to {request.start + request.length - 1} of sequence '{info.name}' asked for "
            f"(length {request.length}), it has frames 0 to {info.frames - 1}"
        )
    _check_references(sequences, request)
    return info


def _check_references(sequences: Sequence[SequenceInfo], request: ClipRequest) -> None:
    subject = request.sequence if request.reference_sequence is None else request.reference_sequence
    if not 0 <= subject < len(sequences):
        raise RequestError(f"references of sequence {subject} asked for, there are {len(sequences)} (counted from 0)")
    if request.reference_sequence is not None and not request.references:
        raise RequestError(f"sequence '{sequences[subject].name}' is to be driven, but no reference frame is given")
    bad = [frame for frame in request.references if not 0 <= frame < sequences[subject].frames]
    if bad:
        raise RequestError(
            f"reference frame {bad[0]} of sequence '{sequences[subject].name}' asked for, "
            f"it has frames 0 to {sequences[subject].frames - 1}"
        )


def map_tensors(function: Callable[[Tensor], Tensor], clip: Clip) -> Clip:
    """Return the clip with `function` applied to each of its tensors."""

    def optional(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else function(tensor)

    return attrs.evolve(
        clip,
        frames=function(clip.frames),
        labels={kind: function(tensor) for kind, tensor in clip.labels.items()},
        flow=optional(clip.flow),
        flow_confidence=optional(clip.flow_confidence),
        instances=optional(clip.instances),
        regions=optional(clip.regions),
        boxes={region: function(tensor) for region, tensor in clip.boxes.items()},
        references=None if clip.references is None else _map_references(function, clip.references),
    )


def _map_references(function: Callable[[Tensor], Tensor], references: References) -> References:
    flow, confidence = references.flow, references.flow_confidence
    return attrs.evolve(
        references,
        frames=function(references.frames),
        labels={kind: function(tensor) for kind, tensor in references.labels.items()},
        flow=None if flow is None else function(flow),
        flow_confidence=None if confidence is None else function(confidence),
    )


def move(clip: Clip, device: torch.device | str) -> Clip:
    """Move a clip to another device; copies from pinned memory do not wait."""
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=True), clip)


def count_bytes(clip: Clip) -> int:
    """Return the memory that the tensors of a clip take."""
    sizes: list[int] = []

    def weigh(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    map_tensors(weigh, clip)
    return sum(sizes)


def cut(clip: Clip, start: int, stop: int) -> Clip:
    """Return frames `start` to `stop` - 1 of an unbatched clip, flow of the first one included; references stay."""
    references = clip.references
    if references is not None:
        flow, confidence = references.flow, references.flow_confidence
        references = attrs.evolve(
            references,
            flow=None if flow is None else flow[start:stop],
            flow_confidence=None if confidence is None else confidence[start:stop],
        )
    frames = map_tensors(lambda tensor: tensor[start:stop], attrs.evolve(clip, references=None))
    return attrs.evolve(frames, references=references)


def collate(clips: Sequence[Clip]) -> Clip:
    """Make one batch of clips: every tensor gains a leading N; names are joined by ", ".

    Raises:
        VsDataError: no clips, or clips that differ in length, size, label kinds, number of references or in having
            flow, instances, references or regions.
    """
    if not clips:
        raise VsDataError("a batch needs at least one clip")
    kinds = list(clips[0].labels)
    for clip in clips[1:]:
        if list(clip.labels) != kinds:
            raise VsDataError(f"clips of one batch differ in label kinds: {kinds} and {list(clip.labels)}")
        if list(clip.boxes) != list(clips[0].boxes):
            raise VsDataError(f"clips of one batch differ in boxes: {list(clips[0].boxes)} and {list(clip.boxes)}")
    return Clip(
        frames=_stack("frames", clips, [clip.frames for clip in clips]),
        labels={kind: _stack(kind, clips, [clip.labels[kind] for clip in clips]) for kind in kinds},
        flow=_stack_optional("flow", clips, [clip.flow for clip in clips]),
        flow_confidence=_stack_optional("flow_confidence", clips, [clip.flow_confidence for clip in clips]),
        instances=_stack_optional("instances", clips, [clip.instances for clip in clips]),
        regions=_stack_optional("regions", clips, [clip.regions for clip in clips]),
        boxes={
            region: _stack(f"boxes of {region}", clips, [clip.boxes[region] for clip in clips])
            for region in clips[0].boxes
        },
        references=_collate_references(clips),
        name=", ".join(clip.name for clip in clips),
    )


def _collate_references(clips: Sequence[Clip]) -> References | None:
    found = [clip.references for clip in clips if clip.references is not None]
    if not found:
        return None
    if len(found) != len(clips):
        raise VsDataError(f"of the clips of one batch only {len(found)} of {len(clips)} have references")
    return References(
        frames=_stack("references", clips, [each.frames for each in found]),
        labels={
            kind: _stack(f"references' {kind}", clips, [each.labels[kind] for each in found])
            for kind in found[0].labels
        },
        flow=_stack_optional("references' flow", clips, [each.flow for each in found]),
        flow_confidence=_stack_optional("references' flow", clips, [each.flow_confidence for each in found]),
        name=", ".join(each.name for each in found),
    )


def _stack(field: str, clips: Sequence[Clip], tensors: Sequence[Tensor]) -> Tensor:
    for clip, tensor in zip(clips, tensors, strict=True):
        if tensor.shape != tensors[0].shape:
            raise VsDataError(
                f"clips of one batch differ in the shape of {field}: {tuple(tensors[0].shape)} in '{clips[0].name}', "
                f"{tuple(tensor.shape)} in '{clip.name}'"
            )
    return torch.stack(list(tensors))


def _stack_optional(field: str, clips: Sequence[Clip], tensors: Sequence[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return None
    if len(present) != len(tensors):
        raise VsDataError(f"of the clips of one batch only {len(present)} of {len(tensors)} have {field}")
    return _stack(field, clips, present)
