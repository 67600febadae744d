"""Small data folders that the tests write themselves."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

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
