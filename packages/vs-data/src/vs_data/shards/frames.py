"""Pictures as they are stored in shards: as they were, or encoded anew."""

import io
from collections.abc import Iterable
from typing import Literal, TypeAlias, assert_never, get_args

import av
import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vs_data.errors import DataError

Frames: TypeAlias = Literal["copy", "png", "webp", "jpeg", "video"]
"""How frames are stored: as they are, as pictures encoded anew, or as a video of short groups of frames."""

FRAMES: tuple[Frames, ...] = get_args(Frames)

ENDINGS: dict[Frames, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg", "video": ".mkv"}

_LOSSLESS_WEBP = 101
_WORST_CRF = 51
_RATE = 25


def encoded(picture: NDArray[np.uint8], how: Literal["png", "webp", "jpeg"], quality: int) -> bytes:
    """Encode a picture (H,W,3) RGB; `quality` is 1 to 100, of WebP 100 is without loss, of PNG it changes nothing."""
    match how:
        case "jpeg":
            return bytes(simplejpeg.encode_jpeg(picture, quality=quality, colorsubsampling="444"))
        case "png":
            return _by_opencv(picture, ".png", [])
        case "webp":
            return _by_opencv(
                picture, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality if quality < 100 else _LOSSLESS_WEBP]
            )
        case _:
            assert_never(how)


def _by_opencv(picture: NDArray[np.uint8], ending: str, options: list[int]) -> bytes:
    done, data = cv2.imencode(ending, np.ascontiguousarray(picture[:, :, ::-1]), options)
    if not done:
        raise DataError(f"cannot encode a picture of {picture.shape[1]}x{picture.shape[0]} pixels as {ending}")
    return data.tobytes()


def encoded_video(pictures: Iterable[NDArray[np.uint8]], quality: int, group: int) -> bytes:
    """Encode pictures (H,W,3) RGB as H.264 in Matroska; decoding can begin at every `group`-th. 100 is without loss."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream: av.video.stream.VideoStream | None = None
        for number, picture in enumerate(pictures):
            if stream is None:
                stream = _stream(container, picture.shape[:2], quality, group)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return buffer.getvalue()


def _stream(
    container: av.container.OutputContainer, size: tuple[int, int], quality: int, group: int
) -> av.video.stream.VideoStream:
    lossless = quality >= 100
    stream = container.add_stream("libx264rgb" if lossless else "libx264", rate=_RATE)
    stream.height, stream.width = size
    even = size[0] % 2 == 0 and size[1] % 2 == 0
    stream.pix_fmt = "rgb24" if lossless else ("yuv420p" if even else "yuv444p")
    rate = {"qp": "0"} if lossless else {"crf": str(round((100 - quality) * _WORST_CRF / 100))}
    # Without the macroblock tree, bytes depend on the pictures alone.
    stream.codec_context.options = {"g": str(group), "bf": "0", "x264-params": "mbtree=0", **rate}
    stream.codec_context.thread_count = 1
    return stream
