"""Clips, what is known about sequences, and the protocol of everything that clips can be read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import attrs
import torch
from torch import Tensor

from vs_data.errors import RequestError, VsDataError


@attrs.frozen(kw_only=True, eq=False)
class Clip:
    """Consecutive frames of one sequence with their conditioning. Batched clips have a leading N on every tensor.

    Attributes:
        frames: (T,3,H,W) float32 in [-1,1], RGB.
        labels: Kind -> (T,H,W) uint8 or int64 class ids, never one-hot.
        flow: (T,2,H,W) float32, pixels, x then y; backward: pixel p of frame t was at p + flow in frame t-1. Zeros at
            t = 0 of the clip. None when there is no teacher.
        flow_confidence: (T,1,H,W) float32 in [0,1], 1 where the flow is to be trusted; zeros at t = 0.
        instances: (T,H,W) int32 instance ids, or None.
        name: For messages: sequence and first frame.
    """

    frames: Tensor
    labels: Mapping[str, Tensor] = attrs.field(factory=dict)
    flow: Tensor | None = None
    flow_confidence: Tensor | None = None
    instances: Tensor | None = None
    name: str = ""

    def pin_memory(self) -> Clip:
        """This clip in page-locked memory (the name is what PyTorch's loader looks for)."""
        return map_tensors(lambda tensor: tensor.pin_memory(), self)


@attrs.frozen(kw_only=True)
class SequenceInfo:
    """One sequence of a source: its name and how many frames it has."""

    name: str
    frames: int


@attrs.frozen(kw_only=True)
class ClipRequest:
    """Which clip to read.

    Attributes:
        sequence: Index into the source's `sequences`.
        start: First frame.
        length: Number of frames, at least 1.
        seed: Fixes whatever is random in reading (augmentation); it does not interact with `start`, so that two
            requests with one seed see the sequence augmented alike.
    """

    sequence: int
    start: int
    length: int
    seed: int = 0


@runtime_checkable
class ClipSource(Protocol):
    """Where clips come from. A source can be pickled, and `read` is a pure function of the source and the request."""

    @property
    def sequences(self) -> tuple[SequenceInfo, ...]:
        """The sequences that there are."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every clip, pixels."""

    @property
    def class_counts(self) -> Mapping[str, int]:
        """Label kind -> number of class ids."""

    @property
    def ignore_ids(self) -> Mapping[str, int | None]:
        """Label kind -> id of pixels without a class; None: there are none. The same kinds as in `class_counts`."""

    def read(self, request: ClipRequest) -> Clip:
        """The clip without N axis. Raises `RequestError` for what is out of range, `DataError` for bad data."""


def check_request(sequences: Sequence[SequenceInfo], request: ClipRequest) -> SequenceInfo:
    """The sequence that a request is about; `RequestError` when the request is out of range."""
    if not 0 <= request.sequence < len(sequences):
        raise RequestError(f"sequence {request.sequence} asked for, there are {len(sequences)} (counted from 0)")
    info = sequences[request.sequence]
    if request.length < 1 or request.start < 0 or request.start + request.length > info.frames:
        raise RequestError(
            f"frames {request.start} to {request.start + request.length - 1} of sequence '{info.name}' asked for "
            f"(length {request.length}), it has frames 0 to {info.frames - 1}"
        )
    return info


def map_tensors(function: Callable[[Tensor], Tensor], clip: Clip) -> Clip:
    """The clip with `function` applied to each of its tensors."""

    def optional(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else function(tensor)

    return attrs.evolve(
        clip,
        frames=function(clip.frames),
        labels={kind: function(tensor) for kind, tensor in clip.labels.items()},
        flow=optional(clip.flow),
        flow_confidence=optional(clip.flow_confidence),
        instances=optional(clip.instances),
    )


def move(clip: Clip, device: torch.device | str) -> Clip:
    """The clip on another device; copies from pinned memory do not wait."""
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=True), clip)


def cut(clip: Clip, start: int, stop: int) -> Clip:
    """Frames `start` to `stop` - 1 of an unbatched clip, flow of the first one included."""
    return map_tensors(lambda tensor: tensor[start:stop], clip)


def collate(clips: Sequence[Clip]) -> Clip:
    """One batch of clips: every tensor gains a leading N; names are joined by ", ".

    Raises:
        VsDataError: no clips, or clips that differ in length, size, label kinds or in having flow or instances.
    """
    if not clips:
        raise VsDataError("a batch needs at least one clip")
    kinds = list(clips[0].labels)
    for clip in clips[1:]:
        if list(clip.labels) != kinds:
            raise VsDataError(f"clips of one batch differ in label kinds: {kinds} and {list(clip.labels)}")
    return Clip(
        frames=_stack("frames", clips, [clip.frames for clip in clips]),
        labels={kind: _stack(kind, clips, [clip.labels[kind] for clip in clips]) for kind in kinds},
        flow=_stack_optional("flow", clips, [clip.flow for clip in clips]),
        flow_confidence=_stack_optional("flow_confidence", clips, [clip.flow_confidence for clip in clips]),
        instances=_stack_optional("instances", clips, [clip.instances for clip in clips]),
        name=", ".join(clip.name for clip in clips),
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
