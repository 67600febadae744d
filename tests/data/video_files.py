"""Small videos that the tests write themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str,
    pixels: str,
    options: Mapping[str, str] | None = None,
    rate: int = 25,
) -> Path:
    """Frames (H,W) greys or (H,W,3) RGB, so many a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.options = dict(options or {})
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="gray" if frame.ndim == 2 else "rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def striped(number: int, size: tuple[int, int]) -> np.ndarray:
    """A frame that says its number, below 32, in five black or white stripes: no compression hides it."""
    bits = [number >> bit & 1 for bit in range(5)]
    return rgb(
        np.repeat(np.repeat(np.array([bits], np.uint8) * 255, size[0], axis=0), -(-size[1] // 5), axis=1)[:, : size[1]]
    )


def number_of(picture: np.ndarray) -> int:
    """The number that a picture (H,W,3) of stripes says."""
    width = picture.shape[1]
    middles = [picture[:, (2 * bit + 1) * width // 10].mean() for bit in range(5)]
    return sum((middle > 127) << bit for bit, middle in enumerate(middles))
