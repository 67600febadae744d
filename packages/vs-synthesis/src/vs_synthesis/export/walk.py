"""Labels to try an export on: maps of random patches, of which a window is seen that goes for a walk."""

import random
from collections.abc import Iterator
from typing import assert_never

import torch
import torch.nn.functional as F
import vs_nets as nets
from torch import Tensor

from vs_synthesis.export.steps import MOTION, label_dtype
from vs_synthesis.fit import Size

_PACE = 2
"""Pixels that the window moves at most in a frame, in each direction."""


def walk(
    spec: nets.LabelSpec, size: Size, frames: int, *, seed: int = 0, motion: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Yield the labels of a clip, by the name of their input: ids (1, H, W) or maps (1, C, H, W).

    With `motion` its flow (1, 2, H, W) from the frame before is among them, and its confidence, which is 1 but for what
    comes from outside.

    Ids of all classes and pixels without a class occur; maps are the edges of patches, as in drawings.
    """
    patch = max(2, min(size) // 8)
    room = 2 * patch
    generator, steps = torch.Generator().manual_seed(seed), random.Random(seed)
    canvases = [_canvas(kind, (size[0] + room, size[1] + room), patch, generator) for kind in spec.kinds]
    y, x = room // 2, room // 2
    for number in range(frames):
        before = y, x
        y, x = (min(max(at + steps.randint(-_PACE, _PACE), 0), room) for at in (y, x))
        seen = [canvas[..., y : y + size[0], x : x + size[1]].contiguous() for canvas in canvases]
        moved = _motion((x - before[1], y - before[0]), size, known=number > 0) if motion else {}
        yield {f"label_{i}": label for i, label in enumerate(seen)} | moved


def _motion(step: tuple[int, int], size: Size, *, known: bool) -> dict[str, Tensor]:
    """Return the motion of a frame that was seen `step` pixels (x, y) further on; none is known of the first."""
    flow = torch.tensor(step, dtype=torch.float32).reshape(1, 2, 1, 1).expand(1, 2, *size).contiguous()
    rows, columns = torch.arange(size[0])[:, None] + step[1], torch.arange(size[1]) + step[0]
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    return dict(zip(MOTION, (flow * known, inside.float().expand(1, 1, *size) * known), strict=True))


def subject_of_walk(spec: nets.LabelSpec, size: Size, count: int, *, seed: int = 1) -> dict[str, Tensor]:
    """Return example frames of a subject and their labels, by the name of their input."""
    labels = list(walk(spec, size, count, seed=seed))
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    frames = F.interpolate(coarse, size=list(size), mode="bilinear")[None]  # (1, K, 3, H, W)
    named = {f"reference_{name}": torch.stack([each[name] for each in labels], dim=1) for name in labels[0]}
    return {"reference_frames": frames, **named}


def _canvas(kind: nets.LabelKind, size: Size, patch: int, generator: torch.Generator) -> Tensor:
    match kind:
        case nets.ClassMap():
            ids = _patches(size, patch, kind.classes + (kind.ignore_id is not None), 1, generator)[0]
            known = ids if kind.ignore_id is None else torch.where(ids == kind.classes, kind.ignore_id, ids)
            return known.to(label_dtype(kind))
        case nets.FloatMap():
            return _edges(_patches(size, patch, 4, kind.channels, generator))
        case _ as never:
            assert_never(never)


def _patches(size: Size, patch: int, values: int, channels: int, generator: torch.Generator) -> Tensor:
    """Return random whole numbers below `values` in square patches: (1, channels, H, W)."""
    coarse = torch.randint(values, (1, channels, -(-size[0] // patch), -(-size[1] // patch)), generator=generator)
    return coarse.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[..., : size[0], : size[1]]


def _edges(patches: Tensor) -> Tensor:
    """Return ones where a patch ends, below or to the right, and zeros elsewhere."""
    below, right = F.pad(patches, (0, 0, 0, 1), "replicate"), F.pad(patches, (0, 1, 0, 0), "replicate")
    return ((below[..., 1:, :] != patches) | (right[..., 1:] != patches)).float()
