"""Flow files of every format, of a picture that is shifted by known pixels."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from vs_data import FlowFilesConfig


def write_kitti(path: Path, vectors: np.ndarray, known: np.ndarray | None = None) -> None:
    """Write (H,W,2) as KITTI's development kit does: 16 bits RGB, u, v, valid."""
    valid = np.ones(vectors.shape[:2], bool) if known is None else known
    stored = np.dstack([vectors * 64 + 2**15, valid[..., None]]).round().astype(np.uint16)
    stored[~valid] = 0
    cv2.imwrite(str(path), stored[..., ::-1])


def write_exr(path: Path, vectors: np.ndarray, names: Sequence[str] = ("R", "G"), dtype: type = np.float32) -> None:
    import OpenEXR  # here, because it is optional

    channels = {name: np.ascontiguousarray(vectors[..., i], dtype) for i, name in enumerate(names)}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


def write_vectors(path: Path, vectors: np.ndarray) -> None:
    """Write (H,W,2) in the format that the name ends in."""
    match path.suffix:
        case ".npz":
            np.savez(path, flow=vectors.transpose(2, 0, 1).astype(np.float32))
        case ".npy":
            np.save(path, vectors.astype(np.float32))
        case ".exr":
            write_exr(path, vectors)
        case ".png":
            write_kitti(path, vectors)
        case ".flo":
            cv2.writeOpticalFlow(str(path), vectors.astype(np.float32))


def stored_as(config: FlowFilesConfig, motion: np.ndarray) -> np.ndarray:
    """What a file of a configuration holds where things move by `motion` (H,W,2) pixels from a frame to the next."""
    vectors = motion if config.direction == "forward" else -motion
    vectors = -vectors if config.negate else vectors
    height, width = motion.shape[:2]
    if config.units == "normalised":
        vectors = vectors / (width, height)
    return vectors * (1, -1) if config.y == "up" else vectors


def write_moving(root: Path, config: FlowFilesConfig, ending: str, pictures: Sequence[np.ndarray], step: tuple) -> Path:
    """Write a data folder of one sequence whose frames show a picture that moves by `step` pixels (x, y) each time."""
    for kind in ("images", "seg_maps", config.folder):
        (root / kind / "a").mkdir(parents=True)
    motion = np.broadcast_to(np.array(step, np.float32), (*pictures[0].shape[:2], 2))
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(root / "images" / "a" / f"{index:03d}.png"), picture[..., ::-1])
        cv2.imwrite(str(root / "seg_maps" / "a" / f"{index:03d}.png"), picture[..., 0] // 64)
        last, first = index == len(pictures) - 1, index == 0
        if not (last if config.direction == "forward" else first):
            write_vectors(root / config.folder / "a" / f"{index:03d}{ending}", stored_as(config, motion))
    return root


def write_in_front(root: Path, meaning: str, ground: np.ndarray, thing: np.ndarray, places: Sequence[tuple]) -> Path:
    """Write a data folder of one sequence in which a thing passes in front of a ground that moves otherwise.

    Every frame has a file, of zeros where nothing leads; what it holds is meant as `forward`, `backward` or `velocity`,
    how far a pixel has come.

    Args:
        root: Where to write.
        meaning: Of the vectors.
        ground: A picture larger than the frames, which are 64x96.
        thing: A smaller one.
        places: In each frame (x, y) of the upper left corner of the thing, and of the frame in the ground.
    """
    height, width = 64, 96
    for kind in ("images", "seg_maps", "flow"):
        (root / kind / "a").mkdir(parents=True)
    for index, ((x, y), (left, top)) in enumerate(places):
        picture, ids = ground[top : top + height, left : left + width].copy(), np.zeros((height, width), np.uint8)
        here = slice(y, y + len(thing)), slice(x, x + thing.shape[1])
        picture[here], ids[here] = thing, 1
        other = index + 1 if meaning == "forward" else index - 1
        vectors = np.zeros((height, width, 2), np.float32)
        if 0 <= other < len(places):
            (there_x, there_y), (there_left, there_top) = places[other]
            vectors[:] = left - there_left, top - there_top
            vectors[here] = there_x - x, there_y - y
        cv2.imwrite(str(root / "images" / "a" / f"{index:03d}.png"), picture[..., ::-1])
        cv2.imwrite(str(root / "seg_maps" / "a" / f"{index:03d}.png"), ids)
        write_vectors(root / "flow" / "a" / f"{index:03d}.npz", -vectors if meaning == "velocity" else vectors)
    return root
