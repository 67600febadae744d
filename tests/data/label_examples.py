"""A folder of every kind of label, small enough for every test: pictures whose labels say what is where."""

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import cv2
import numpy as np
from conftest import block_ids, plain_face, texture_picture
from vs_data import (
    BlurConfig,
    DenseposeConfig,
    EdgesConfig,
    GreyConfig,
    ImageConfig,
    InstancesConfig,
    KeypointsConfig,
    LabelKind,
    LandmarksConfig,
    SegMapsConfig,
)
from vs_data.labels.colours import ADE20K, CITYSCAPES

SIZE = (48, 64)
FRAMES = 3


def ids_at(frame: int, classes: int = 12) -> np.ndarray:
    return block_ids(SIZE, 2 * frame, classes, block=8)


def depth_at(frame: int) -> np.ndarray:
    return (2 + 50 * np.mgrid[: SIZE[0], : SIZE[1]][0] / SIZE[0] + ids_at(frame)).astype(np.float32)


def vectors_at(frame: int) -> np.ndarray:
    """(H,W,2) in [-8, 8]."""
    smooth = texture_picture(SIZE, 7)[..., :2].astype(np.float32) / 16 - 8
    return np.roll(smooth, 2 * frame, axis=1)


def written_png(values: Callable[[int], np.ndarray]) -> Callable[[Path, int], None]:
    def write(path: Path, frame: int) -> None:
        pixels = values(frame)
        assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)

    return write


def written_array(values: Callable[[int], np.ndarray]) -> Callable[[Path, int], None]:
    return lambda path, frame: np.save(path, values(frame))


def write_face(path: Path, frame: int) -> None:
    path.write_text(json.dumps(plain_face(0.8, (30 + frame, 24)).tolist()))


def write_body(path: Path, frame: int) -> None:
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.uniform((8, 8), (52, 40), (17, 2)) + frame, np.ones((17, 1))], axis=1)
    path.write_text(json.dumps(points.tolist()))


def write_exr(path: Path, frame: int) -> None:
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": depth_at(frame)}).write(str(path))


def codes_at(frame: int) -> np.ndarray:
    return np.array(CITYSCAPES, np.uint8)[ids_at(frame) + 7]


def parts_at(frame: int) -> np.ndarray:
    ids = ids_at(frame)
    return np.stack([ids * 20, 255 - ids * 20, ids], axis=-1).astype(np.uint8)


@attrs.frozen(kw_only=True)
class Example:
    """A kind of label as it may be configured, and its files.

    Attributes:
        kind: The configuration.
        extension: Of its files; empty: it has none.
        write: Writes the file of a frame.
        exact: Whether a mirrored frame has exactly the mirrored label; else drawing and edges differ by a pixel or two.
        signs: What its channels are multiplied by when they are mirrored.
    """

    kind: LabelKind
    extension: str = ""
    write: Callable[[Path, int], None] | None = None
    exact: bool = True
    signs: tuple[int, ...] = (1,)


EXAMPLES = {
    "ids": Example(kind=SegMapsConfig(num_classes=12), extension=".png", write=written_png(ids_at)),
    "codes": Example(
        kind=SegMapsConfig(folder="codes", colours="cityscapes", map="cityscapes-train", num_classes=19),
        extension=".png",
        write=written_png(codes_at),
    ),
    "own colours": Example(
        kind=SegMapsConfig(folder="own", colours=ADE20K[:13], num_classes=13, ignore_id=None),
        extension=".png",
        write=written_png(lambda frame: np.array(ADE20K, np.uint8)[ids_at(frame)]),
    ),
    "mapped": Example(
        kind=SegMapsConfig(folder="wide", map=tuple((1000 * k, k % 4) for k in range(9)), num_classes=4),
        extension=".png",
        write=written_png(lambda frame: ids_at(frame).astype(np.uint16) * 1000),
    ),
    "face": Example(kind=LandmarksConfig(smoothing=0.0), extension=".json", write=write_face, exact=False),
    "body": Example(
        kind=KeypointsConfig(skeleton="coco17", smoothing=0.0), extension=".json", write=write_body, exact=False
    ),
    "densepose": Example(kind=DenseposeConfig(), extension=".png", write=written_png(parts_at)),
    "rendering": Example(
        kind=ImageConfig(), extension=".jpg", write=written_png(lambda frame: texture_picture(SIZE, frame))
    ),
    "albedo": Example(
        kind=ImageConfig(folder="albedo"),
        extension=".webp",
        write=written_png(lambda frame: texture_picture(SIZE, frame)),
    ),
    "normals": Example(
        kind=ImageConfig(folder="normals", flip_sign=(0,)),
        extension=".png",
        write=written_png(lambda frame: texture_picture(SIZE, frame)),
        signs=(-1, 1, 1),
    ),
    "depth": Example(
        kind=ImageConfig(folder="depth", channels=1, minimum=1.0, maximum=70.0, log=True),
        extension=".npy",
        write=written_array(depth_at),
    ),
    "depth of 16 bits": Example(
        kind=ImageConfig(folder="deep", channels=1, maximum=256 * 80.0),
        extension=".png",
        write=written_png(lambda frame: (depth_at(frame) * 256).astype(np.uint16)),
    ),
    "exr": Example(
        kind=ImageConfig(folder="exr", channels=1, minimum=0.0, maximum=70.0), extension=".exr", write=write_exr
    ),
    "motion": Example(
        kind=ImageConfig(
            folder="motion", channels=2, minimum=-16.0, maximum=16.0, flip_sign=(0,), scale_x=(0,), scale_y=(1,)
        ),
        extension=".npy",
        write=written_array(vectors_at),
        signs=(-1, 1),
    ),
    "instances": Example(
        kind=InstancesConfig(),
        extension=".png",
        write=written_png(lambda frame: ids_at(frame).astype(np.uint16) * 1000),
    ),
    "foreground": Example(
        kind=InstancesConfig(folder="human_instance_maps", show="largest"),
        extension=".png",
        write=written_png(lambda frame: ids_at(frame) % 3),
    ),
    "panoptic": Example(
        kind=InstancesConfig(folder="panoptic", stored="rgb"),
        extension=".png",
        write=written_png(lambda frame: np.stack([ids_at(frame)] * 3, axis=-1) * 9),
    ),
    "edges": Example(kind=EdgesConfig(), exact=False),
    "blur": Example(kind=BlurConfig(radius=2.0), exact=False),
    "grey": Example(kind=GreyConfig()),
}


def write_examples(root: Path, *examples: Example, frames: int = FRAMES, sequences: tuple[str, ...] = ("a",)) -> None:
    """Write pictures and the files of some kinds: `images/SEQ/000.png` and so on."""
    for sequence in sequences:
        place = root / "images" / sequence
        place.mkdir(parents=True)
        for frame in range(frames):
            picture = np.roll(texture_picture(SIZE, 1), 2 * frame, axis=1)
            cv2.imwrite(str(place / f"{frame:03d}.png"), picture[..., ::-1])
        for example in examples:
            folder = root / example.kind.folder / sequence
            if example.write is not None:
                folder.mkdir(parents=True)
                for frame in range(frames):
                    example.write(folder / f"{frame:03d}{example.extension}", frame)
