"""The part of the pictures in which a face is: one window for a whole sequence, so that the head moves within it."""

import math
from functools import lru_cache
from typing import ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray
from vs_config import real

from vs_data.content import Contents
from vs_data.geometry import Window
from vs_data.landmark_files import read_track
from vs_data.landmarks import forehead


@attrs.frozen(kw_only=True)
class FaceCropConfig:
    """Cut the face out of the pictures of a sequence, by its landmarks, before anything else is done with them.

    The window is one and the same for all frames of a sequence. It holds the face of every frame, forehead included,
    and a margin for hair and shoulders; it has the aspect of the clips, a square for square ones. It is shifted into
    the picture where it fits; where it does not, the picture's edge is repeated.
    """

    kind: ClassVar[str] = "face"

    margin: float = real(0.4, "space on every side of the face", low=0.0, high=4.0, unit="heights of the face")


def face_window(
    track: NDArray[np.float64], picture: tuple[int, int], size: tuple[int, int], config: FaceCropConfig
) -> Window:
    """Return the window of a sequence.

    Args:
        track: (frames, 68, 2) landmarks of all frames of the sequence, pixels.
        picture: (H, W) of its pictures.
        size: (H, W) of the clips, for the aspect.
        config: The margin.
    """
    faces = np.stack([np.concatenate([face, forehead(face)]) for face in track])
    heights = np.ptp(faces[..., 1], axis=1)
    margin = config.margin * float(np.median(heights))
    extent = np.array((picture[1], picture[0]))
    low = np.maximum(faces.min(axis=(0, 1)) - margin, -extent / 2)  # there is nothing to see far outside
    high = np.minimum(faces.max(axis=(0, 1)) + margin, extent * 1.5)
    side = float((high - low).max()) + 1  # half a pixel on either side of the centres of the outermost ones
    height, width = (math.ceil(side * length / min(size)) for length in size)
    middle = (low + high + 1) / 2
    return Window(
        top=_shifted_inside(round(middle[1] - height / 2), height, picture[0]),
        left=_shifted_inside(round(middle[0] - width / 2), width, picture[1]),
        height=height,
        width=width,
    )


def _shifted_inside(start: int, length: int, whole: int) -> int:
    return start if length > whole else min(max(start, 0), whole - length)


@lru_cache(maxsize=1024)
def sequence_window(
    contents: Contents, picture: tuple[int, int], size: tuple[int, int], config: FaceCropConfig
) -> Window:
    """Return `face_window` of the landmark files of a sequence; files are taken not to change under a process.

    Raises:
        DataError: one of the files is bad.
    """
    return face_window(read_track(contents, picture), picture, size, config)
