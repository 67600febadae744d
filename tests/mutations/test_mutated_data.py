"""Damaged data folders: named by the check, or read as what they were."""

import random
from pathlib import Path

import cv2
import pytest
import torch
from mutate import copy_tree, mutate_file, no_longer_than, over
from vs_data import (
    ClipRequest,
    FlowFilesConfig,
    FolderConfig,
    LandmarksConfig,
    SegMapsConfig,
    VsDataError,
    open_folder,
)
from vs_data.cli import main

SEEDS = [range(60)]
MORE_SEEDS = [range(start, start + 100) for start in range(1000, 3000, 100)]
several = pytest.mark.parametrize(
    "seeds", [*SEEDS, *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in MORE_SEEDS)], ids=str
)

FACES = ["--labels", "landmarks-dlib68", "seg_maps", "--classes", "7", "--ignore-id", "-1"]
# What has neither checksum nor structure in these files, so that a change of it is another valid file.
CANNOT_BE_NOTICED = {".jpg", ".webp", ".json"}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutated") / "street"
    assert main(["render", str(root), "--sequences", "1", "--frames", "4", "--height", "32"]) == 0
    last = sorted((root / "images").rglob("*.png"))[-2:]
    for path, ending in zip(last, (".jpg", ".webp"), strict=True):
        cv2.imwrite(str(path.with_suffix(ending)), cv2.imread(str(path)))
        path.unlink()
    return root


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutated") / "faces"
    arguments = ["render", str(root), "--world", "faces", "--sequences", "1", "--frames", "3", "--height", "64"]
    assert main(arguments) == 0
    return root


def street_config(root: Path) -> FolderConfig:
    return FolderConfig(root=str(root), height=32, width=64, flow=FlowFilesConfig())


def faces_config(root: Path) -> FolderConfig:
    labels = (LandmarksConfig(), SegMapsConfig(num_classes=7, ignore_id=None))
    return FolderConfig(root=str(root), height=64, width=64, labels=labels, flow=FlowFilesConfig())


def read_all(config: FolderConfig) -> dict[str, torch.Tensor] | VsDataError:
    """Everything that training would see of the first sequence, or what it is told."""
    try:
        source = open_folder(config, "val")
        clip = source.read(ClipRequest(sequence=0, start=0, length=source.sequences[0].frames))
    except VsDataError as error:
        return error
    return {"frames": clip.frames, "flow": clip.flow, "confidence": clip.flow_confidence, **clip.labels}


def judge(config: FolderConfig, original: FolderConfig, arguments: list[str], damaged: Path, done: str, capsys) -> str:
    """Check a folder and read it; return what came of it: "named", "refused", "unnoticeable" or "unharmed"."""
    with no_longer_than(20):
        status = main(["check", "--decode", *arguments])
    out, err = capsys.readouterr()
    assert status in (0, 2)
    assert [line for line in (out + err).splitlines() if not line.isprintable()] == []
    with no_longer_than(20):
        seen = read_all(config)
    if isinstance(seen, VsDataError):
        assert status == 2, f"the check says nothing of what reading finds: {seen}"
        return "refused"
    if status == 2 or damaged.stem[:12] in out:
        return "named"
    if damaged.suffix in CANNOT_BE_NOTICED or done == "another":  # whole file of the folder, a map of another frame say
        return "unnoticeable"
    first = read_all(original)
    assert not isinstance(first, VsDataError)
    differing = [name for name, tensor in first.items() if not torch.equal(seen[name], tensor)]
    assert differing == [], "read as something else, and nothing says so"
    return "unharmed"


def judge_all(seeds: range, root: Path, here: Path, arguments: list[str], config_of, capsys) -> set[str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())

    def one(seed: int) -> str:
        rng = random.Random(seed)
        damaged = here / "data" / rng.choice(files).relative_to(root)
        copy_tree(root, here / "data")
        done = mutate_file(damaged, files, rng)
        try:
            return judge(config_of(here / "data"), config_of(root), arguments, damaged, done, capsys)
        except Exception as error:
            error.add_note(f"{damaged.relative_to(here)}: {done}")
            raise

    return over(seeds, one)


@several
def test_a_damaged_file_of_a_street_is_named_or_read_as_it_was(seeds, street, tmp_path, capsys):
    arguments = [str(tmp_path / "data"), "--classes", "35"]
    assert judge_all(seeds, street, tmp_path, arguments, street_config, capsys) >= {"refused"}


@several
def test_a_damaged_file_of_faces_is_named_or_read_as_it_was(seeds, faces, tmp_path, capsys):
    arguments = [str(tmp_path / "data"), *FACES]
    assert judge_all(seeds, faces, tmp_path, arguments, faces_config, capsys) >= {"refused"}


def test_the_undamaged_folders_are_fine(street, faces, capsys):
    assert main(["check", "--decode", str(street), "--classes", "35"]) == 0
    assert main(["check", "--decode", str(faces), *FACES]) == 0
    assert {*read_all(street_config(street))} == {"frames", "flow", "confidence", "seg_maps"}
    assert {*read_all(faces_config(faces))} == {"frames", "flow", "confidence", "seg_maps", "landmarks-dlib68"}
