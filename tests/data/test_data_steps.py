"""Labels out of step: how many frames labels of worlds are shifted by is found, and there is no false alarm."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from vs_data import (
    ClipRequest,
    DancersConfig,
    DenseposeConfig,
    FacesConfig,
    FolderConfig,
    ImageConfig,
    InstancesConfig,
    KeypointsConfig,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    StreetConfig,
    check_folder,
    open_dancers,
    open_faces,
    open_street,
    write_folder,
)
from vs_data.outlines import outline_of_ids, outline_of_lines, outline_of_values
from vs_data.steps import KEPT_FRAMES, keeps_outline, shift_of

FRAMES = 24
REACH = 3


def outlines_of(source, sequence: int) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
    """Outlines of pictures, and of the labels of each kind, of so many frames and some on either side."""
    clip = source.read(ClipRequest(sequence=sequence, start=0, length=FRAMES + 2 * REACH))
    pictures = ((clip.frames + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    labels = {
        kind: [outline_of_ids(each) if each.ndim == 2 else outline_of_lines(each.max(axis=0)) for each in label.numpy()]
        for kind, label in clip.labels.items()
    }
    return [outline_of_values(each) for each in pictures], labels


WORLDS = {
    "street": lambda: open_street(StreetConfig(height=64, width=128), "train"),
    "fast": lambda: open_street(StreetConfig(height=64, width=128, speed_min=30.0, speed_max=30.0, sway=3.0), "train"),
    "few a second": lambda: open_street(StreetConfig(height=64, width=128, fps=5.0), "train"),
    "slow": lambda: open_street(StreetConfig(height=64, width=128, speed_min=1.0, speed_max=1.0), "train"),
    "faces": lambda: open_faces(FacesConfig(height=64, width=64, labels="both"), "train"),
    "wild faces": lambda: open_faces(
        FacesConfig(height=64, width=64, labels="both", movement=1.5, expression=1.25), "train"
    ),
}


@pytest.mark.parametrize("world", WORLDS)
def test_shifts_of_worlds_are_never_mistaken(world):
    pictures, labels = outlines_of(WORLDS[world](), 0)
    for kind, label in labels.items():
        for shift in range(-REACH, REACH + 1):
            begin = REACH + shift
            found = shift_of(label[begin : begin + FRAMES], pictures[REACH : REACH + FRAMES])
            assert found in (0, shift), (kind, shift)


@pytest.mark.parametrize("world", ["fast", "few a second"])
def test_every_shift_is_found_where_much_moves(world):
    pictures, labels = outlines_of(WORLDS[world](), 1)
    (label,) = labels.values()
    shifts = range(-REACH, REACH + 1)
    inner = pictures[REACH : REACH + FRAMES]
    assert [shift_of(label[REACH + by : REACH + by + FRAMES], inner) for by in shifts] == list(shifts)


def test_what_stands_still_or_is_noise_or_short_says_nothing():
    still = [outline_of_values(np.full((20, 30, 3), 7, np.uint8))] * FRAMES
    noise = [
        outline_of_values(each) for each in np.random.default_rng(0).integers(0, 256, (FRAMES, 40, 40, 3), np.uint8)
    ]
    assert shift_of(still, still) == shift_of(still, noise) == shift_of(noise[::-1], noise) == 0
    assert shift_of(noise[1:13], noise[:12]) == 0
    assert shift_of(noise[2:], noise[:-2]) == 2
    assert shift_of([None, *noise[:9], None, *noise[10:]], [*noise, None][: FRAMES + 1]) == 0


@pytest.mark.parametrize(("frames", "most"), [(1, 1), (KEPT_FRAMES, KEPT_FRAMES), (100_000, KEPT_FRAMES + 64)])
def test_of_long_sequences_no_more_outlines_are_kept_than_of_short_ones(frames, most):
    kept = [frame for frame in range(frames) if keeps_outline(frame, frames)]
    assert most / 2 < len(kept) <= most
    assert kept[-1] >= 0.9 * frames - 1


def test_labels_of_every_kind_of_picture_that_were_numbered_from_another_frame_are_warned_of(tmp_path: Path):
    world = StreetConfig(height=32, width=64, sequence_length=24, speed_min=15.0, speed_max=15.0)
    write_folder(open_street(world, "train"), tmp_path, sequences=1)
    shutil.copytree(tmp_path / "images", tmp_path / "copies")
    kinds = (SegMapsConfig(), InstancesConfig(), ImageConfig(folder="copies", channels=3))
    config = FolderConfig(root=str(tmp_path), labels=kinds, flow=NoFlowConfig())
    assert check_folder(config, declared=False).findings == ()
    for kind in kinds:
        shift_files(next((tmp_path / kind.folder).iterdir()), -2)
    findings = check_folder(config, declared=False).findings
    assert [finding.kind for finding in findings if finding.kind != "repeated frames"] == ["labels out of step"] * 3
    assert {Path(finding.file).parent.name for finding in findings} == {kind.folder for kind in kinds}
    assert {finding.what for finding in findings} == {
        "labels come 2 frames too late: they fit the pictures 2 frames before theirs better"
    }
    assert check_folder(config, declared=False, decode=False).findings == ()


def test_keypoints_which_say_little_of_where_a_body_ends_raise_no_alarm(tmp_path: Path):
    world = DancersConfig(height=128, width=64, sequence_length=24, train_identities=1)
    write_folder(open_dancers(world, "train"), tmp_path, sequences=2)
    kinds = (KeypointsConfig(folder="keypoints"), DenseposeConfig(folder="densepose"))
    config = FolderConfig(root=str(tmp_path), labels=kinds, flow=NoFlowConfig())
    assert check_folder(config).findings == ()


def test_landmarks_that_come_early_are_warned_of(tmp_path: Path):
    world = FacesConfig(height=64, width=64, sequence_length=24, movement=1.5)
    write_folder(open_faces(world, "train"), tmp_path, sequences=1)
    config = FolderConfig(root=str(tmp_path), labels=(LandmarksConfig(),), flow=NoFlowConfig())
    assert check_folder(config).findings == ()
    shift_files(next((tmp_path / "landmarks-dlib68").iterdir()), 3)
    (finding,) = check_folder(config).findings
    assert finding.what.startswith("labels come 3 frames too early")


def shift_files(place: Path, by: int) -> None:
    """Give each file of a folder the content of the one that comes `by` later, or of the first or last one."""
    files = sorted(place.iterdir())
    contents = [files[min(max(number + by, 0), len(files) - 1)].read_bytes() for number in range(len(files))]
    for file, data in zip(files, contents, strict=True):
        file.write_bytes(data)
