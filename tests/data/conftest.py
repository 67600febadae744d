"""Small data folders that the tests write themselves."""

import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from vs_data import draw_face

COLOURS = np.random.default_rng(5).integers(0, 256, (256, 3)).astype(np.uint8)


def block_ids(size: tuple[int, int], shift: int, classes: int = 12, block: int = 16) -> np.ndarray:
    """Blocks of class ids that wander to the right by `shift` pixels."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    return ((((x - shift) // block) * 5 + (y // block) * 3) % classes).astype(np.uint8)


@pytest.fixture
def ids_of() -> Callable[..., np.ndarray]:
    return block_ids


@pytest.fixture
def colours() -> np.ndarray:
    """Class id -> RGB in the pictures of `folder`."""
    return COLOURS


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a good data folder: sequences of frames whose colours say their class ids, with the true flow.

    Each frame shows the one before moved by 2 pixels to the right.
    """

    def write(sequences: dict[str, int], size: tuple[int, int] = (48, 80), flow: bool = False) -> Path:
        root = tmp_path / "data"
        for name, frames in sequences.items():
            for kind in ("images", "seg_maps", *(["flow"] if flow else [])):
                (root / kind / name).mkdir(parents=True)
            for frame in range(frames):
                ids = block_ids(size, 2 * frame)
                cv2.imwrite(str(root / "images" / name / f"{frame:04d}.png"), COLOURS[ids][:, :, ::-1])
                cv2.imwrite(str(root / "seg_maps" / name / f"{frame:04d}.png"), ids)
                if flow and frame > 0:
                    motion = np.zeros((2, *size), np.float16)
                    motion[0] = -2
                    np.savez(root / "flow" / name / f"{frame:04d}.npz", flow=motion)
        return root

    return write


def texture_picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A smooth random texture, (H,W,3) uint8."""
    noise = np.random.default_rng(seed).standard_normal((*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


@pytest.fixture
def texture() -> Callable[..., np.ndarray]:
    return texture_picture


def on_a_circle(centre: tuple[float, float], start: float, stop: float, radius: float, count: int) -> np.ndarray:
    angle = np.linspace(start, stop, count) * np.pi / 180
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)


def plain_face(scale: float = 1.0, centre: tuple[float, float] = (32.0, 36.0), roll: float = 0.0) -> np.ndarray:
    """A plain face, about 40 pixels high without its forehead at scale 1; `roll` in radians, clockwise."""
    lips = on_a_circle((0, 11), 180, 540, 5, 13)[:-1]
    inner = on_a_circle((0, 11), 180, 540, 3, 9)[:-1]
    points = np.concatenate(
        [
            on_a_circle((0, 0), 180, 0, 18, 17),
            on_a_circle((-8, -4), 200, 340, 5, 5),
            on_a_circle((8, -4), 200, 340, 5, 5),
            np.stack([np.zeros(4), np.linspace(-3, 4, 4)], axis=1),
            on_a_circle((0, 3), 150, 30, 3, 5),
            on_a_circle((-8, -2), 180, 540, 3, 7)[:-1],
            on_a_circle((8, -2), 180, 540, 3, 7)[:-1],
            lips,
            inner,
        ]
    )
    cos, sin = np.cos(roll), np.sin(roll)
    return scale * points @ np.array([[cos, sin], [-sin, cos]]) + centre


@pytest.fixture(scope="session")
def face_points() -> Callable[..., np.ndarray]:
    return plain_face


def talk(face: np.ndarray, openness: float) -> np.ndarray:
    """The face with an open mouth: lower lip and chin lowered by a share of the face's height."""
    lowered = face.copy()
    down = (face[8] - face[27]) * openness
    lowered[[55, 56, 57, 58, 59, 65, 66, 67, *range(4, 13)]] += down
    return lowered


@pytest.fixture(scope="session")
def speaking() -> Callable[..., np.ndarray]:
    return talk


@pytest.fixture
def face_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a data folder of faces: `tracks` (frames, 68, 2) of each sequence, pictures whose lines are the faces."""

    def write(tracks: dict[str, np.ndarray], size: tuple[int, int] = (96, 128)) -> Path:
        root = tmp_path / "faces"
        for name, track in tracks.items():
            for kind in ("images", "landmarks-dlib68", "seg_maps"):
                (root / kind / name).mkdir(parents=True)
            for frame, points in enumerate(track):
                drawing = (255 * draw_face(points, size)).round().astype(np.uint8)
                cv2.imwrite(str(root / "images" / name / f"{frame:04d}.png"), np.stack([drawing] * 3, axis=-1))
                cv2.imwrite(str(root / "seg_maps" / name / f"{frame:04d}.png"), (drawing > 100).astype(np.uint8))
                (root / "landmarks-dlib68" / name / f"{frame:04d}.json").write_text(json.dumps(points.tolist()))
        return root

    return write


@pytest.fixture
def wait_for_workers():
    """No worker may outlive its test."""
    yield
    deadline = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert multiprocessing.active_children() == []
