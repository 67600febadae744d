"""DensePose: what its files hold becomes the published numbers, by the nearest pixel, and wrong files are refused."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from video_files import write_video
from vs_config import ConfigError
from vs_data import (
    AugmentConfig,
    ClipRequest,
    DataError,
    DenseposeConfig,
    FolderConfig,
    NoFlowConfig,
    check_folder,
    open_folder,
    open_labels,
)
from vs_data.sequences import LabelRequest

SIZE = (32, 48)
FOLDER = "pose_maps-densepose"
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "pose"


def maps(seed: int = 0, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Part, U and V (H, W, 3) as DensePose gives them, in that order."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, top + 1, size) for top in (24, 255, 255)], axis=-1).astype(np.uint8)


def write(root: Path, frames: list[NDArray[Any]], ending: str = "png") -> Path:
    for kind in ("images", FOLDER):
        (root / kind / "a").mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(root / "images" / "a" / f"{index:03d}.png"), np.full((*SIZE, 3), 9 * index, np.uint8))
        cv2.imwrite(str(root / FOLDER / "a" / f"{index:03d}.{ending}"), frame)
    return root


def folder_of(root: Path, **more: Any) -> FolderConfig:
    plain = {"height": SIZE[0], "width": SIZE[1], "flow": NoFlowConfig(), "labels": (DenseposeConfig(),)}
    return FolderConfig(root=str(root), **{**plain, **more})


def label(config: FolderConfig) -> NDArray[np.float32]:
    return open_folder(config, "val").read(ClipRequest(sequence=0, start=0, length=1)).labels[FOLDER][0].numpy()


def test_the_part_is_of_24_and_u_and_v_are_of_255(tmp_path: Path) -> None:
    frame = maps()
    found = label(folder_of(write(tmp_path, [frame, maps(1)])))
    part, u, v = frame.astype(np.float64).transpose(2, 0, 1)
    np.testing.assert_allclose(found, np.stack([v / 255, u / 255, part / 24]) * 2 - 1, atol=1e-6)


def test_no_number_is_mixed_of_two_by_resizing_and_cropping(tmp_path: Path) -> None:
    frame = maps()
    root = write(tmp_path, [frame, frame])
    found = label(folder_of(root, height=16, width=16, augment=AugmentConfig(smallest_side=23)))
    triples = {tuple(triple) for triple in frame[..., ::-1].reshape(-1, 3).tolist()}
    levels = np.rint((found.transpose(1, 2, 0) + 1) / 2 * [255, 255, 24]).astype(int)
    assert {tuple(triple) for triple in levels.reshape(-1, 3).tolist()} <= triples


def test_mirroring_is_refused_since_uv_have_no_mirror_image(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"augment\.flip.*0 beside labels of kind 'densepose'"):
        folder_of(tmp_path, augment=AugmentConfig(flip=0.5))


BAD = {
    "a part that nobody has": np.full((*SIZE, 3), 25, np.uint8),
    "grey": np.zeros(SIZE, np.uint8),
    "16 bits": np.zeros((*SIZE, 3), np.uint16),
    "another size": np.zeros((8, 8, 3), np.uint8),
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD)
def test_bad_files_are_refused_when_they_are_read_and_found_by_the_check(tmp_path: Path, frame: NDArray[Any]) -> None:
    config = folder_of(write(tmp_path, [maps(), frame]))
    with pytest.raises(DataError, match=r"001\.png"):
        open_folder(config, "val").read(ClipRequest(sequence=0, start=1, length=1))
    errors = [finding for finding in check_folder(config).findings if finding.severity == "error"]
    assert [Path(finding.file).name for finding in errors] == ["001.png"]


def test_transparency_is_dropped_and_the_check_says_so(tmp_path: Path) -> None:
    clear = np.full((*SIZE, 1), 128, np.uint8)
    root = write(tmp_path, [np.concatenate([maps(seed), clear], axis=-1) for seed in (0, 1)])
    opaque = write(tmp_path / "opaque", [maps(0), maps(1)])
    np.testing.assert_array_equal(label(folder_of(root)), label(folder_of(opaque)))
    assert any(
        "has transparency, which is dropped" in finding.what for finding in check_folder(folder_of(root)).findings
    )


def test_greys_are_told_what_a_file_should_hold(tmp_path: Path) -> None:
    report = check_folder(folder_of(write(tmp_path, [maps(), BAD["grey"]])))
    assert [finding.fix for finding in report.errors] == [
        "write the part, 0 to 24, into the blue channel of a PNG, U and V, 0 to 255, into green and red"
    ]


def test_a_lossless_video_of_the_maps_gives_the_same_labels(tmp_path: Path) -> None:
    frames = [maps(0), maps(1)]
    files, video = write(tmp_path / "files", frames), write(tmp_path / "video", frames)
    shutil.rmtree(video / FOLDER / "a")
    write_video(video / FOLDER / "a.mkv", [frame[..., ::-1].copy() for frame in frames], "ffv1", "bgr0")
    np.testing.assert_array_equal(label(folder_of(video)), label(folder_of(files)))
    assert check_folder(folder_of(video)).findings == ()


def test_loose_files_are_read_as_in_training(tmp_path: Path) -> None:
    root = write(tmp_path, [maps(), maps(1)])
    how = LabelRequest(kinds=(DenseposeConfig(),), size=SIZE)
    [sequence] = open_labels(str(root / FOLDER), how)
    first = next(iter(sequence.read()))
    np.testing.assert_array_equal(first.labels[FOLDER].numpy(), label(folder_of(root)))


@pytest.mark.skipif(not REAL.is_dir(), reason="the clip of a dancer is not there")
def test_the_real_clip_has_a_person_in_the_middle_whose_head_is_above_its_feet() -> None:
    found = label(folder_of(REAL, height=256, width=256))
    part = np.rint((found[2] + 1) * 12).astype(int)
    assert part.min() == 0
    assert part.max() <= 24
    rows = {number: np.nonzero(part == number)[0].mean() for number in (23, 2, 5)}  # head, trunk, foot
    assert rows[23] < rows[2] < rows[5]
    assert abs(np.nonzero(part)[1].mean() - 128) < 32
