"""True clips that faults are planted into: of worlds that know everything about them."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import attrs
import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_data import (
    Clip,
    ClipRequest,
    ClipSource,
    DancersConfig,
    FacesConfig,
    SourceConfig,
    StreetConfig,
    cut,
    open_source,
)
from vs_data.flow import dis_flow, photometric_confidence
from vs_metrics import frame_to_uint8, write_mp4
from vs_training.quality.motion import DIS

World = Literal["street", "faces", "dancers"]
WORLDS: tuple[World, ...] = get_args(World)

LEAD = 3
"""Frames before those that are measured: what is late, or leaves ghosts, shows them."""

_FPS = 10


@attrs.frozen(kw_only=True, eq=False)
class Scene:
    """A true clip, and what faults are made of besides.

    Attributes:
        clip: its frames, labels, exact flow and its confidence, and regions where the world knows them.
        before: (LEAD, 3, H, W) the frames before.
        other: (T, 3, H, W) somebody else in the same motion, or None where a world has no people.
        saved: (T, 3, H, W) the frames as they come back from a video file, which is no fault that anybody sees.
        flow: (T, 2, H, W) the flow that DIS estimates.
        confidence: (T, 1, H, W) where that is to be trusted, as it looks.
    """

    clip: Clip
    before: Tensor
    other: Tensor | None
    saved: Tensor
    flow: Tensor
    confidence: Tensor


def config_of(world: World, *, clips: int, frames: int, seed: int) -> SourceConfig:
    """Return a world at the size of its tiny preset, with held-out sequences as asked for."""
    length = LEAD + frames
    match world:
        case "street":
            return StreetConfig(height=64, width=128, sequence_length=length, val_sequences=clips, seed=seed)
        case "faces":
            return FacesConfig(
                height=64, width=64, sequence_length=length, val_identities=clips + 1, motions=1, seed=seed
            )
        case "dancers":
            return DancersConfig(
                height=64, width=64, sequence_length=length, val_identities=clips + 1, motions=1, seed=seed
            )


def read_scenes(config: SourceConfig, clips: int) -> Iterator[Scene]:
    """Yield so many scenes, each of a sequence of its own; the person of the next sequence is the other one."""
    source = open_source(config, "val")
    for number in range(clips):
        yield scene_of(source, number)


def scene_of(source: ClipSource, number: int) -> Scene:
    """Read a sequence as a scene."""
    length = source.sequences[number].frames
    request = ClipRequest(sequence=number, start=0, length=length)
    whole = source.read(request)
    other = None
    if whole.regions is not None:
        driven = attrs.evolve(request, references=(0,), reference_sequence=number + 1)
        other = source.read(driven).frames[LEAD:]
    clip = cut(whole, LEAD, length)
    flow, confidence = estimated_motion(clip.frames)
    return Scene(
        clip=clip,
        before=whole.frames[:LEAD],
        other=other,
        saved=saved_frames(clip.frames),
        flow=flow,
        confidence=confidence,
    )


def estimated_motion(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flow of DIS and its photometric confidence, as a folder of pictures has them; 0 for the first."""
    pictures = list(frame_to_uint8(frames))
    pairs = list(itertools.pairwise(pictures))
    flows = dis_flow(pairs, DIS)
    trust = [
        photometric_confidence(before, now, flow, DIS.confidence)
        for (before, now), flow in zip(pairs, flows, strict=True)
    ]
    height, width = pictures[0].shape[:2]
    return (
        torch.from_numpy(np.stack([np.zeros((height, width, 2), np.float32), *flows])).movedim(-1, 1),
        torch.from_numpy(np.stack([np.zeros((height, width), np.float32), *trust]))[:, None],
    )


def saved_frames(frames: Tensor) -> Tensor:
    """Return frames as they come back from a video file of the quality that all commands write."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_mp4(Path(folder) / "clip.mp4", frame_to_uint8(frames), fps=_FPS).path
        pictures = _read_video(path)
    height, width = frames.shape[-2:]
    return from_pictures(pictures)[..., :height, :width]


def _read_video(path: Path) -> Sequence[NDArray[np.uint8]]:
    with av.open(str(path)) as video:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in video.decode(video=0)]


def from_pictures(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return RGB pictures (H, W, 3) of 8 bits as frames (T, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).movedim(-1, 1).float() / 127.5 - 1
