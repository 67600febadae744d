"""Pictures of numbers as labels: ranges, logarithms, signs and sizes in closed form, and every bad file in one line."""

import builtins
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from label_examples import EXAMPLES, SIZE, depth_at, vectors_at, write_examples
from vs_config import ConfigError
from vs_data import (
    AugmentConfig,
    ClipRequest,
    DataError,
    FolderConfig,
    ImageConfig,
    NoFlowConfig,
    check_folder,
    open_folder,
)
from vs_data.labels import handler_of
from vs_data.labels.image import CLIPPED, _found, _scaled


def read(root: Path, kind: ImageConfig, split: str = "val", **more: object) -> torch.Tensor:
    settings = {"height": SIZE[0], "width": SIZE[1], **more}
    config = FolderConfig(root=str(root), labels=(kind,), flow=NoFlowConfig(), **settings)
    return open_folder(config, split).read(ClipRequest(sequence=0, start=0, length=1, seed=3)).labels[kind.folder][0]


@pytest.fixture
def folder(tmp_path):
    """Write pictures, and one file of a kind beside the only frame."""

    def write(name: str, data: bytes | np.ndarray) -> Path:
        write_examples(tmp_path, frames=1)
        path = tmp_path / "image" / "a" / f"000{name}"
        path.parent.mkdir(parents=True)
        match data:
            case bytes():
                path.write_bytes(data)
            case _ if name == ".npy":
                np.save(path, data)
            case _:
                assert cv2.imwrite(str(path), data[..., [2, 1, 0, 3][: data.shape[2]]] if data.ndim == 3 else data)
        return tmp_path

    return write


def check(root: Path, kind: ImageConfig):
    return check_folder(FolderConfig(root=str(root), labels=(kind,), flow=NoFlowConfig(), min_frames=1))


@given(
    low=st.floats(0.01, 10),
    span=st.floats(0.1, 100),
    part=st.floats(0, 1),
    log=st.booleans(),
)
def test_the_range_becomes_minus_one_to_one(low, span, part, log):
    """By the logarithm, what is halfway is the geometric mean."""
    kind = ImageConfig(channels=1, minimum=low, maximum=low + span, log=log)
    value = low * ((low + span) / low) ** part if log else low + part * span
    values = np.array([low, value, low + span]).reshape(1, 3, 1)
    found = _scaled(kind, _found(kind, values, "here"))[0, :, 0]
    assert np.allclose(found, [-1, 2 * part - 1, 1], atol=2e-4)


@pytest.mark.parametrize("largest", [255, 65535])
def test_greys_of_8_and_16_bits_have_a_range_of_their_own(folder, largest):
    levels = (np.linspace(0, largest, SIZE[0] * SIZE[1]).reshape(SIZE)).astype(
        np.uint8 if largest == 255 else np.uint16
    )
    found = read(folder(".png", levels), ImageConfig(channels=1), min_frames=1)
    assert torch.allclose(found[0], torch.from_numpy(levels.astype(np.float32)) / largest * 2 - 1, atol=1e-6)


@pytest.mark.parametrize(("name", "tolerance"), [(".png", 1e-6), (".webp", 0.3), (".jpg", 0.3)])
def test_colours_are_red_green_and_blue_in_this_order(folder, name, tolerance):
    colours = np.zeros((*SIZE, 3), np.uint8) + np.array([250, 128, 5], np.uint8)
    found = read(folder(name, colours), ImageConfig(), min_frames=1)
    assert torch.allclose(found[:, 5, 5], torch.tensor([250, 128, 5]) / 127.5 - 1, atol=tolerance)


def test_transparency_is_a_channel_where_it_is_asked_for(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 4)).astype(np.uint8)
    root = folder(".png", pixels)
    expected = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
    assert torch.allclose(read(root, ImageConfig(channels=4), min_frames=1), expected, atol=1e-6)
    assert torch.allclose(read(root, ImageConfig(), min_frames=1), expected[:3], atol=1e-6)
    assert "transparency, which is dropped" in check(root, ImageConfig()).findings[0].what


@pytest.mark.parametrize("name", ["depth", "exr", "depth of 16 bits", "normals"])
def test_half_the_size_is_the_mean_of_four(tmp_path, name):
    write_examples(tmp_path, EXAMPLES[name], frames=2)
    kind = EXAMPLES[name].kind
    half = read(tmp_path, kind, height=24, width=32)
    assert torch.allclose(half, torch.nn.functional.avg_pool2d(read(tmp_path, kind)[None], 2)[0], atol=1e-5)


def test_exr_and_arrays_hold_the_same_depth(tmp_path):
    write_examples(tmp_path, EXAMPLES["exr"], frames=2)
    expected = torch.from_numpy(depth_at(0) / 70 * 2 - 1)
    assert torch.allclose(read(tmp_path, EXAMPLES["exr"].kind)[0], expected, atol=1e-5)


def test_motion_becomes_that_of_the_smaller_mirrored_picture(tmp_path):
    """Half the width: half the pixels across; stretched to a third of the height: a third of the pixels down."""
    write_examples(tmp_path, EXAMPLES["motion"], frames=2)
    stretched = AugmentConfig(keep_aspect=False, flip=1.0)
    found = read(tmp_path, EXAMPLES["motion"].kind, "train", height=16, width=32, augment=stretched)
    across = cv2.resize(vectors_at(0), (32, 16), interpolation=cv2.INTER_AREA)[:, ::-1]
    expected = np.stack([-across[..., 0] / 2, across[..., 1] / 3]) / 16
    assert np.allclose(found.numpy(), expected, atol=1e-5)


def test_what_is_outside_of_the_range_is_clipped_and_said(folder):
    root = folder(".npy", np.linspace(-5, 5, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE))
    kind = ImageConfig(channels=1, minimum=-1.0, maximum=1.0)
    found = read(root, kind, min_frames=1)
    assert (float(found.min()), float(found.max())) == (-1, 1)
    report = check(root, kind)
    assert report.errors == ()
    assert [finding.what for finding in report.findings] == [CLIPPED]


@pytest.mark.parametrize(
    ("number", "wanted"), [(np.float64(1e300), 1.0), (np.float64(-1e300), -1.0), (np.float16(0), 0)]
)
def test_arrays_may_be_wider_or_narrower_than_labels(folder, number, wanted):
    """Neither numbers that float32 cannot hold nor a range that float16 cannot is worth a warning of NumPy."""
    root = folder(".npy", np.full(SIZE, number))
    kind = ImageConfig(channels=1, minimum=-1e6, maximum=1e6)
    assert (read(root, kind, min_frames=1) == wanted).all()
    assert any(finding.what.startswith(CLIPPED) for finding in check(root, kind).findings) == (wanted != 0)


def broken(value: float) -> np.ndarray:
    values = np.ones(SIZE, np.float32)
    values[7, 9] = value
    return values


DEPTH = ImageConfig(channels=1, minimum=0.0, maximum=9.0)
WRONG = {
    "nan": (".npy", broken(np.nan), DEPTH, "holds nan at x=9, y=7, channel 0 (1 such values); write a number there"),
    "infinite": (".npy", broken(np.inf), DEPTH, "holds inf at x=9, y=7"),
    "no range": (".npy", broken(4.0), ImageConfig(channels=1), "holds float32 of 1 to 4, and nobody says their range"),
    "pickle": (".npy", np.array([{}], object), DEPTH, "holds object (1,); expected"),
    "texts": (".npy", np.full(SIZE, "a"), DEPTH, "holds <U1 (48, 64); expected (height, width)"),
    "many channels": (".npy", np.ones((*SIZE, 5), np.float32), DEPTH, "holds float32 (48, 64, 5); expected"),
    "a line": (".npy", np.ones(9, np.float32), DEPTH, "holds float32 (9,); expected"),
    "greys": (".png", np.ones(SIZE, np.uint8), ImageConfig(), "has 1 channel, channels = 3 of the kind 'image'"),
    "other size": (".npy", np.ones((5, 6), np.float32), DEPTH, "is 6x5 pixels"),
    "no exr": (".exr", b"v/1.png", DEPTH, "is no OpenEXR file, whatever its name says; copy or render"),
    "half an exr": (
        ".exr",
        b"\x76\x2f\x31\x01\x02",
        DEPTH,
        "not a readable OpenEXR file: cut off after 5 bytes; copy or render",
    ),
    "no picture": (".png", b"abc", DEPTH, "not a readable picture"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", WRONG)
def test_a_bad_file_is_one_line_that_says_what_and_where(folder, case):
    name, data, kind, message = WRONG[case]
    root = folder(name, data)
    (problem,) = check(root, kind).errors
    assert problem.file == str(root / "image" / "a" / f"000{name}")
    assert message in f"{problem.what}; {problem.fix}"
    assert problem.fix
    with pytest.raises(DataError) as refused:
        read(root, kind, min_frames=1)
    assert str(refused.value).startswith(f"{problem.file}: ")


def test_what_an_array_promises_is_held_against_its_file(folder):
    root = folder(".npy", np.ones(SIZE, np.float32))
    path = root / "image" / "a" / "000.npy"
    path.write_bytes(path.read_bytes().replace(b"(48, 64)", b"(48, 63)"))
    with pytest.raises(DataError, match=r"promises 12096 bytes of numbers and holds 12288"):
        read(root, DEPTH, min_frames=1)


def test_channels_of_exr_files_are_chosen_by_name(folder, tmp_path):
    import OpenEXR

    root = folder(".exr", b"-")
    planes = {name: np.full(SIZE, value, np.float32) for name, value in {"N.X": 1, "N.Y": 2, "N.Z": 3, "A": 4}.items()}
    header = {"compression": OpenEXR.NO_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, planes).write(str(root / "image" / "a" / "000.exr"))
    ranged = {"minimum": 0.0, "maximum": 4.0}
    found = read(root, ImageConfig(exr_channels=("N.Z", "N.X", "N.Y"), **ranged), min_frames=1)
    assert found[:, 0, 0].tolist() == [0.5, -0.5, 0.0]
    with pytest.raises(DataError, match=r"has no channel 'N\.W'; it has A, N\.X, N\.Y, N\.Z; name its channels"):
        read(root, ImageConfig(exr_channels=("N.X", "N.Y", "N.W"), **ranged), min_frames=1)
    with pytest.raises(DataError, match="has 4 channels, channels = 1"):
        read(root, ImageConfig(channels=1, **ranged), min_frames=1)


@pytest.mark.parametrize("left", [-5, 0, 7, 100])
def test_what_an_exr_file_stores_lies_where_its_picture_has_it(folder, left):
    """Cropped renders store less than the picture, overscan more of it."""
    import OpenEXR

    (height, width), top, stored = SIZE, -3, (30, 20)
    plane = np.arange(1.0, 601, dtype=np.float32).reshape(stored)
    header = {
        "compression": OpenEXR.NO_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "dataWindow": (np.array([left, top], np.int32), np.array([left + 19, top + 29], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([width - 1, height - 1], np.int32)),
    }
    root = folder(".exr", b"-")
    OpenEXR.File(header, {"Z": plane}).write(str(root / "image" / "a" / "000.exr"))
    found = read(root, ImageConfig(channels=1, minimum=-600.0, maximum=600.0), min_frames=1)[0] * 600
    everywhere = {(y + top, x + left): plane[y, x] for y in range(30) for x in range(20)}
    wanted = [[everywhere.get((y, x), 0.0) for x in range(width)] for y in range(height)]
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_package_that_reads_exr_files_is_named_where_it_is_missing(folder, monkeypatch):
    root = folder(".exr", b"\x76\x2f\x31\x01\x02")
    usual = builtins.__import__

    def refuse(name: str, *more: object) -> object:
        if name == "OpenEXR":
            raise ImportError(name)
        return usual(name, *more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match=r"for which a package is missing; .*pip install 'OpenEXR>=3\.5'"):
        read(root, DEPTH, min_frames=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"minimum": 3.0, "maximum": 3.0}, "minimum: expected less than maximum, 3"),
        ({"log": True, "minimum": 0.0, "maximum": 3.0}, "log: takes a minimum above 0 and a maximum"),
        ({"log": True, "minimum": 1.0, "maximum": 3.0, "flip_sign": (0,)}, "log: cannot be with channels"),
        ({"channels": 1, "flip_sign": (1,)}, r"flip_sign\[0\]: expected a channel, 0 to 0"),
        ({"channels": 2, "exr_channels": ("a",)}, "exr_channels: expected a name for each of 2 channels"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        ImageConfig(**fields)


def test_levels_of_pipes_and_videos_are_read_as_files_of_8_bits():
    levels = np.random.default_rng(1).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    found = handler_of(ImageConfig()).of_levels(levels, "here")
    assert torch.allclose(found, torch.from_numpy(levels).permute(2, 0, 1) / 127.5 - 1, atol=1e-6)
    middle = levels[..., 0].clip(1, 254)
    nearly = np.stack([middle - 1, middle, middle + 1], axis=-1)
    grey = handler_of(ImageConfig(channels=1)).of_levels(nearly, "here")
    assert torch.allclose(grey[0], torch.from_numpy(middle) / 127.5 - 1, atol=1e-6)
    with pytest.raises(DataError, match="here: has 1 channel, channels = 3"):
        handler_of(ImageConfig()).of_levels(levels[..., 0], "here")
