"""The result of a generator for one frame, the past that it looks at, and the roll-out of a whole clip."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import attrs
from torch import Tensor

from vs_nets.label_map import Label


@attrs.frozen(kw_only=True)
class Warp:
    """Estimate of a flow network: where another image holds a frame, and whether to trust that.

    Attributes:
        flow: (N, 2, H, W) float32 pixels, backward.
        mask: (N, 1, H, W) in [0, 1], 1 where the hallucinated pixel is used.
        frame: (N, 3, H, W): the other image fetched through `flow`.
    """

    flow: Tensor
    mask: Tensor
    frame: Tensor


@attrs.frozen(kw_only=True)
class Motion:
    """Motion that is known, of a frame that is to be made: where its pixels were in the frame before.

    Attributes:
        flow: (N, 2, H, W) float32 pixels, x then y, backward.
        confidence: (N, 1, H, W) in [0, 1], 0 where a pixel was hidden or outside.
    """

    flow: Tensor
    confidence: Tensor


@attrs.frozen(kw_only=True)
class Synthesis:
    """One generated frame.

    Attributes:
        frame: (N, 3, H, W) in [-1, 1].
        raw: the hallucinated frame without warped content, or None.
        flow: (N, 2, H, W) float32 pixels, backward, or None while too few past frames exist.
        mask: (N, 1, H, W) in [0, 1], 1 where the hallucinated pixel is used, or None.
        warped: the previous frame fetched through `flow`, or None.
        given: whether flow and mask were given, so that there is nothing in them to learn or to measure.
        reference: flow, mask and warped frame of the reference; few-shot generators only.
        chosen: (N,) int64: which of the K references was warped, and which the discriminators see; few-shot only.
        maps: the embedding of the label, finest first, which the next frame may take from its history; vid2vid only.
    """

    frame: Tensor
    raw: Tensor | None = None
    flow: Tensor | None = None
    mask: Tensor | None = None
    warped: Tensor | None = None
    given: bool = False
    reference: Warp | None = None
    chosen: Tensor | None = None
    maps: tuple[Tensor, ...] = ()


@attrs.frozen(kw_only=True)
class History:
    """Encoded labels and generated frames of the past, oldest first; frames are detached.

    `maps` is the embedding of the newest label by the very weights that make the next frame, or (): it is made anew.
    `motion` leads from the newest frame to the one that is to be made; only generators of given flow look at it.
    """

    labels: tuple[Label, ...] = attrs.field(default=())
    frames: tuple[Tensor, ...] = attrs.field(default=())
    maps: tuple[Tensor, ...] = attrs.field(default=())
    motion: Motion | None = None


def remember(history: History, label: Label, frame: Tensor, length: int, maps: tuple[Tensor, ...] = ()) -> History:
    """Return the history with one more (label, frame), cut to the newest `length`.

    `maps`: of that frame's `Synthesis`, where the weights stay what they are; training, which changes them, gives none.
    """
    labels = (*history.labels, label)[-length:] if length else ()
    frames = (*history.frames, frame.detach())[-length:] if length else ()
    return History(labels=labels, frames=frames, maps=maps if length else ())


GenerateFrame = Callable[[Label, History], Synthesis]
"""A generator whose references, if it takes any, are bound: the label (N, C, H, W) of a frame, and its past."""


def rollout(
    generate: GenerateFrame, labels: Iterable[Label], *, past: int, motions: Iterable[Motion | None] | None = None
) -> Iterator[Synthesis]:
    """Generate a clip from its own frames, by weights that do not change meanwhile.

    Args:
        generate: a generator, (label (N, C, H, W), history) -> Synthesis.
        labels: the encoded label of each frame in order; only one at a time is taken.
        past: how many past frames the generator looks at.
        motions: of each frame from the one before it, for generators of given flow; that of the first says nothing.

    Yields:
        One `Synthesis` a frame. Put the generator into evaluation mode and wrap in `torch.inference_mode()` yourself.
    """
    history = History()
    for label, motion in zip(labels, itertools.repeat(None) if motions is None else motions, strict=False):
        synthesis = generate(label, attrs.evolve(history, motion=motion))
        history = remember(history, label, synthesis.frame, past, synthesis.maps)
        yield synthesis
