"""Files that were damaged at random are either read as what they should be or refused in one line; nothing else."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import GREY, PALETTE, chunk, encoded, exif, jpeg_with, packed, png, png_with, webp_with
from vs_data import DataError
from vs_data.flows import read_flow
from vs_data.landmark_files import read_landmarks
from vs_data.pictures import inspect_ids, inspect_rgb


def frame(path: Path) -> None:
    pixels = inspect_rgb(path).pixels
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


def ids(path: Path) -> None:
    found = inspect_ids(path).ids
    assert found.dtype == np.uint8
    assert found.ndim == 2


def flow(path: Path) -> None:
    vectors, confidence = read_flow(path)
    assert vectors.dtype == np.float32
    assert vectors.shape[2] == 2
    assert np.isfinite(vectors).all()
    assert confidence is None or (confidence.dtype == np.float32 and confidence.shape == vectors.shape[:2])


def landmarks(path: Path) -> None:
    face = read_landmarks(path)
    assert face.shape == (68, 2)
    assert np.isfinite(face).all()


def npz(packing: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, array in (("flow", np.ones((2, 6, 9), np.float16)), ("confidence", np.ones((6, 9), np.float32))):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    return file.getvalue()


def samples() -> dict[str, tuple[bytes, Callable[[Path], None]]]:
    rng = np.random.default_rng(3)
    rgb = cv2.resize(rng.integers(0, 256, (4, 6, 3), np.uint8), (24, 16))
    plain = encoded(".png", rgb)
    small = rng.integers(0, 4, (6, 9))
    points = (40 + 20 * rng.standard_normal((68, 2))).round(2).tolist()
    webp = encoded(".webp", rgb)
    return {
        "png": (png_with(plain, exif(6)), frame),
        "jpeg": (jpeg_with(encoded(".jpg", rgb), exif(3)), frame),
        "progressive": (encoded(".jpg", rgb, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), frame),
        "webp": (webp_with(webp, exif(8), rgb.shape[:2]), frame),
        "lossless": (encoded(".webp", rgb, cv2.IMWRITE_WEBP_QUALITY, 101), frame),
        "map": (encoded(".png", small.astype(np.uint8)), ids),
        "few-bits": (png(packed(small, 2), 9, 2, GREY), ids),
        "palette": (png(packed(small, 4), 9, 4, PALETTE, chunk(b"PLTE", bytes(48))), ids),
        "npz": (npz(zipfile.ZIP_STORED), flow),
        "packed-npz": (npz(zipfile.ZIP_DEFLATED), flow),
        "json": (json.dumps(points).encode(), landmarks),
    }


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes: bits, bytes, numbers of a header, a part cut out, doubled, filled or cut off."""
    result = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, len(result)) if rng.random() < 0.6 else rng.integers(0, min(len(result), 64)))
        length = int(rng.integers(1, 24))
        part = bytes(result[place : place + length])
        change = rng.integers(0, 7)
        if change == 0:
            result[place] ^= 1 << int(rng.integers(0, 8))
        elif change == 1:
            result[place : place + length] = rng.bytes(length)
        elif change == 2:
            width = int(rng.choice([1, 2, 4, 8]))
            number = int(rng.choice([0, 1, 2, 127, 128, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63]))
            order = "big" if rng.random() < 0.5 else "little"
            result[place : place + width] = (number % 2 ** (8 * width)).to_bytes(width, order)
        elif change == 3:
            del result[place : place + length]
        elif change == 4:
            result[place:place] = part * int(rng.integers(1, 40))
        elif change == 5:
            result[place : place + length] = bytes([int(rng.choice([0, 255, 48, 57, 91, 93]))]) * length
        else:
            del result[max(place, 1) :]
        result = result or bytearray(b"\0")
    return with_right_checksums(bytes(result)) if rng.random() < 0.7 else bytes(result)


def with_right_checksums(data: bytes) -> bytes:
    """A PNG whose checksums hold again, so that what lies behind them is reached; anything else as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    result, position = bytearray(data), 8
    while position + 12 <= len(result):
        end = position + 12 + int.from_bytes(result[position : position + 4], "big")
        if end > len(result):
            break
        result[end - 4 : end] = struct.pack(">I", zlib.crc32(result[position + 4 : end - 4]))
        position = end
    return bytes(result)


def refusal(read: Callable[[Path], None], path: Path) -> str | None:
    try:
        read(path)
    except DataError as error:
        return str(error)
    return None


@pytest.mark.parametrize("count", [60, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", samples())
def test_damaged_files_are_read_or_refused(kind, count, tmp_path, capfd):
    data, read = samples()[kind]
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    read(path)
    refused = 0
    for seed in range(count):
        path.write_bytes(damaged(data, np.random.default_rng(seed)))
        said = refusal(read, path)
        refused += said is not None
        assert said is None or (said.startswith(f"{path}: ") and "\n" not in said), f"seed {seed}"
    assert refused > count // 4
