"""Faults that are planted into true videos: each of a known size, everything else as it was."""

from collections.abc import Callable

import attrs
import cv2
import numpy as np
import torch
import vs_ops
from numpy.typing import NDArray
from torch import Tensor
from vs_training.quality.scoring import LEVELS

from vs_bench.ruler.scenes import LEAD, Scene


@attrs.frozen(kw_only=True)
class Fault:
    """A fault.

    Attributes:
        name: what it is called.
        unit: of its size.
        sizes: those that are planted, from small to large; 0 would be none.
        plant: (scene, size) -> the scene's frames (T, 3, H, W) with the fault.
        explanation: what is done to a video.
        people: whether it needs somebody else.
    """

    name: str
    unit: str
    sizes: tuple[float, ...]
    plant: Callable[[Scene, float], Tensor]
    explanation: str
    people: bool = False


def flicker(scene: Scene, levels: float) -> Tensor:
    """Make every second frame brighter than the others by so many levels of 255."""
    signs = torch.tensor([0.5, -0.5]).repeat(len(scene.clip.frames))[: len(scene.clip.frames)]
    return _within(scene.clip.frames + signs[:, None, None, None] * levels / LEVELS)


def lag(scene: Scene, frames: float) -> Tensor:
    """Show what was there some frames ago, at most `LEAD`; between frames, a blend of the two."""
    whole = int(frames)
    part = frames - whole
    return (1 - part) * _late(scene, whole) + part * _late(scene, min(whole + 1, LEAD))


def ghost(scene: Scene, share: float) -> Tensor:
    """Blend each frame with the one before as it was shown, ghosts included: they fade by the share with each frame."""
    shown, frames = scene.before[0], []
    for frame in torch.cat([scene.before[1:], scene.clip.frames]):
        shown = (1 - share) * frame + share * shown
        frames.append(shown)
    return torch.stack(frames[LEAD - 1 :])


def drift_of_colour(scene: Scene, levels: float) -> Tensor:
    """Get warmer by so many levels with each frame: more red, less blue."""
    direction = torch.tensor([1.0, 0.0, -1.0])[:, None, None] * levels / LEVELS
    return _within(scene.clip.frames + _times(scene) * direction)


def drift_of_position(scene: Scene, pixels: float) -> Tensor:
    """Slide to the right by so many pixels with each frame; the left border is repeated."""
    frames = scene.clip.frames
    flow = torch.zeros(len(frames), 2, *frames.shape[-2:])
    flow[:, :1] = -pixels * _times(scene)
    return vs_ops.warp(frames, flow)


def blur(scene: Scene, sigma: float) -> Tensor:
    """Blur each frame by a Gaussian of a deviation in pixels."""

    def blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)

    return _by_picture(scene, blurred)


def shift_of_colour(scene: Scene, delta: float) -> Tensor:
    """Move all colours towards orange by a delta E of 1976; less where a screen has no such colour."""
    step = np.array([0.0, delta / 2**0.5, delta / 2**0.5], np.float32)  # of L*, a* and b*

    def shifted(image: NDArray[np.float32]) -> NDArray[np.float32]:
        lab = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2Lab), np.float32) + step
        return np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.float32)

    return _by_picture(scene, shifted)


def grid(scene: Scene, levels: float) -> Tensor:
    """Add a checkerboard of plus and minus so many levels, pixel by pixel, as up-sampling leaves it."""
    height, width = scene.clip.frames.shape[-2:]
    signs = 1.0 - 2.0 * ((torch.arange(height)[:, None] + torch.arange(width)) % 2)
    return _within(scene.clip.frames + signs * levels / LEVELS)


def freeze(scene: Scene, frames: float) -> Tensor:
    """Show each picture for so many frames, and skip what would have been shown meanwhile."""
    length, hold = len(scene.clip.frames), round(frames)
    return scene.clip.frames[torch.arange(length) // hold * hold]


def wrong_identity(scene: Scene, share: float) -> Tensor:
    """Blend each frame with somebody else in the same motion."""
    if scene.other is None:
        raise ValueError(f"{scene.clip.name} shows nobody who could be somebody else")
    return (1 - share) * scene.clip.frames + share * scene.other


FAULTS: tuple[Fault, ...] = (
    Fault(
        name="flicker",
        unit="levels",
        sizes=(1, 2, 4, 8),
        plant=flicker,
        explanation="every second frame brighter than the others by so many levels of 255",
    ),
    Fault(
        name="lag",
        unit="frames",
        sizes=(0.25, 0.5, 1, 2),
        plant=lag,
        explanation="what was there so many frames ago; between frames, a blend of two",
    ),
    Fault(
        name="ghosting",
        unit="share",
        sizes=(0.05, 0.1, 0.2, 0.4),
        plant=ghost,
        explanation="each frame blended with the one before as it was shown, ghosts included",
    ),
    Fault(
        name="colour drift",
        unit="levels/frame",
        sizes=(0.25, 0.5, 1, 2),
        plant=drift_of_colour,
        explanation="warmer by so many levels with each frame",
    ),
    Fault(
        name="position drift",
        unit="pixels/frame",
        sizes=(0.05, 0.1, 0.2, 0.4),
        plant=drift_of_position,
        explanation="further to the right by so many pixels with each frame",
    ),
    Fault(
        name="blur",
        unit="pixels",
        sizes=(0.35, 0.5, 1, 2),
        plant=blur,
        explanation="a Gaussian blur of each frame",
    ),
    Fault(
        name="colour shift",
        unit="delta E",
        sizes=(1, 2.5, 5, 10),
        plant=shift_of_colour,
        explanation="all colours nearer to orange (CIE 1976)",
    ),
    Fault(
        name="grid",
        unit="levels",
        sizes=(1, 2, 4, 8),
        plant=grid,
        explanation="a checkerboard of plus and minus so many levels in all frames",
    ),
    Fault(
        name="frozen",
        unit="frames",
        sizes=(2, 4, 8, 16),
        plant=freeze,
        explanation="each picture held for so many frames",
    ),
    Fault(
        name="wrong identity",
        unit="share",
        sizes=(0.1, 0.25, 0.5, 1),
        plant=wrong_identity,
        explanation="blended with somebody else in the same motion",
        people=True,
    ),
)
"""All that are planted."""


def _late(scene: Scene, frames: int) -> Tensor:
    whole = torch.cat([scene.before, scene.clip.frames])
    return whole[LEAD - frames : len(whole) - frames]


def _times(scene: Scene) -> Tensor:
    """Return the number of each frame (T, 1, 1, 1)."""
    return torch.arange(len(scene.clip.frames), dtype=torch.float32)[:, None, None, None]


def _within(frames: Tensor) -> Tensor:
    return frames.clamp(-1, 1)


def _by_picture(scene: Scene, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Tensor:
    """Apply a function of RGB pictures (H, W, 3) in [0, 1] to each frame."""
    images = (scene.clip.frames.movedim(1, -1).numpy() + 1) / 2
    return _within(
        torch.from_numpy(np.stack([change(np.ascontiguousarray(image)) for image in images])).movedim(-1, 1) * 2 - 1
    )
