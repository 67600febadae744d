"""Shards: the clips of their folder bit for bit, readable by WebDataset, and nothing that is damaged passes."""

import contextlib
import json
import logging
import os
import re
import sys
import tarfile
import threading
import time
from pathlib import Path

import attrs
import fsspec
import numpy as np
import pytest
import torch
import vs_data.ranges as ranges
from hypothesis import given, settings
from hypothesis import strategies as st
from video_files import number_of, striped, write_video
from vs_data import (
    AugmentConfig,
    Clip,
    ClipRequest,
    DataError,
    EdgesConfig,
    FacesConfig,
    FlowFilesConfig,
    FolderConfig,
    LandmarksConfig,
    LoaderConfig,
    NoFlowConfig,
    SegMapsConfig,
    ShardsConfig,
    VideoConfig,
    check_folder,
    load_clips,
    open_source,
    write_folder,
)
from vs_data.cli import main
from vs_data.folder import scan_folder
from vs_data.pictures import write_png
from vs_data.shards import INDEX, PackOptions, pack_folder, whole_layout

READ = {
    "height": 24,
    "width": 32,
    "labels": (SegMapsConfig(folder="regions", num_classes=5), LandmarksConfig()),
    "flow": FlowFilesConfig(),
    "augment": AugmentConfig(scale=0.2, flip=0.5),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three people with landmarks, regions and flow: all kinds of files."""
    root = tmp_path_factory.mktemp("faces") / "data"
    faces = open_source(FacesConfig(height=32, width=48, sequence_length=7, labels="both"), "train")
    write_folder(faces, root, sequences=3)
    return root


def kinds_of(root: Path) -> dict:
    maps = next(name.name for name in root.iterdir() if name.name not in ("images", "flow", "landmarks-dlib68"))
    return READ | {"labels": (SegMapsConfig(folder=maps, num_classes=5), LandmarksConfig())}


@pytest.fixture(scope="module")
def pack(folder, tmp_path_factory) -> Path:
    """Several shards, between which a sequence may be cut."""
    out = tmp_path_factory.mktemp("packs") / "pack"
    layout = scan_folder(FolderConfig(root=str(folder), **kinds_of(folder)), "train")
    packed = pack_folder(layout, out, PackOptions(shard_bytes=40_000))
    assert packed.shards > 3
    assert packed.before == packed.after
    return out


def equal(one: Clip, other: Clip) -> bool:
    pairs = [(one.frames, other.frames), (one.flow, other.flow), (one.flow_confidence, other.flow_confidence)]
    pairs += [(one.labels[kind], other.labels[kind]) for kind in one.labels]
    return all(torch.equal(mine, yours) for mine, yours in pairs)


@settings(max_examples=12)
@given(sequence=st.integers(0, 2), start=st.integers(0, 5), length=st.integers(1, 4), seed=st.integers(0, 99))
def test_shards_give_the_clips_of_their_folder(folder, pack, sequence, start, length, seed):
    request = ClipRequest(sequence=sequence, start=min(start, 7 - length), length=length, seed=seed, references=(0, 6))
    one = open_source(FolderConfig(root=str(folder), **kinds_of(folder)), "train").read(request)
    other = open_source(ShardsConfig(root=str(pack), **kinds_of(folder)), "train").read(request)
    assert equal(one, other)
    assert torch.equal(one.references.frames, other.references.frames)
    assert one.name == other.name


def test_batches_are_the_same_with_workers_and_after_a_resume(folder, pack):
    def batches(config, workers, start=0):
        source, how = open_source(config, "train"), LoaderConfig(batch_size=2, workers=workers)
        return list(load_clips(source, how, seed=3, length_of=lambda _: 3, start=start, stop=3))

    want = batches(FolderConfig(root=str(folder), **kinds_of(folder)), 0)
    shards = ShardsConfig(root=str(pack), **kinds_of(folder))
    assert all(equal(one, other) for one, other in zip(want, batches(shards, 2), strict=True))
    assert all(equal(one, other) for one, other in zip(want[2:], batches(shards, 1, 2), strict=True))


def test_webdataset_reads_every_frame_with_all_that_belongs_to_it(folder, pack):
    webdataset = pytest.importorskip("webdataset")
    shards = [str(path) for path in sorted(pack.glob("*.tar"))]
    with contextlib.ExitStack() as files:  # opened here, since it leaves files open, of which warnings would tell
        streams = [{"url": path, "stream": files.enter_context(Path(path).open("rb"))} for path in shards]
        samples = list(webdataset.tariterators.group_by_keys(webdataset.tariterators.tar_file_expander(streams)))
    names = {(sample["__key__"], ending) for sample in samples for ending in sample if not ending.startswith("__")}
    document = json.loads((pack / INDEX).read_text())
    expected = {
        (f"{sequence['name']}/{frame:06d}", f"{kind}{span[4]}".lower())
        for sequence in document["sequences"]
        for kind, packed in sequence["folders"].items()
        for frame, span in enumerate(packed["frames"])
        if span is not None
    }
    assert names == expected
    first = next(sample for sample in samples if sample["__key__"].endswith("000003"))
    sequence = first["__key__"].split("/")[0]
    assert first["images.png"] == (folder / "images" / sequence / "000003.png").read_bytes()


def test_the_index_says_where_tar_finds_them(pack):
    document = json.loads((pack / INDEX).read_text())
    for number, shard in enumerate(document["shards"]):
        with tarfile.open(pack / shard["name"]) as archive:
            places = {(member.offset_data, member.size) for member in archive}
        spans = [
            span
            for each in document["sequences"]
            for kind in each["folders"].values()
            for span in kind["frames"]
            if span
        ]
        assert {(span[1], span[2]) for span in spans if span[0] == number} == places


@pytest.fixture
def far(folder, pack, monkeypatch):
    """A pack behind an address, of which nobody has a file open."""
    monkeypatch.setattr(ranges, "_open_files", threading.local())
    memory = fsspec.filesystem("memory")
    for path in pack.iterdir():
        memory.pipe_file(f"/far/{path.name}", path.read_bytes())
    yield memory
    memory.rm("/far", recursive=True)


REQUEST = ClipRequest(sequence=1, start=2, length=3)


def test_an_address_gives_the_same_clips(folder, pack, far):
    here = open_source(ShardsConfig(root=str(pack), **kinds_of(folder)), "train").read(REQUEST)
    there = open_source(ShardsConfig(root="memory://far", **kinds_of(folder)), "train").read(REQUEST)
    assert equal(here, there)


def test_what_fails_for_a_while_is_tried_again_and_counted(folder, pack, far, monkeypatch, caplog):
    source = open_source(ShardsConfig(root="memory://far", wait=0.001, **kinds_of(folder)), "train")
    failures = iter([OSError("reset by peer"), TimeoutError("too slow")])
    opened = type(far).open

    def unsteady(*args, **how):
        for failure in failures:
            raise failure
        return opened(*args, **how)

    monkeypatch.setattr(type(far), "open", unsteady)
    with caplog.at_level(logging.WARNING):
        clip = source.read(REQUEST)
    assert clip.frames.shape[0] == 3
    tries = [record.message.split(": try ")[1].split(";")[0] for record in caplog.records]
    assert tries == ["1 of 4 failed: reset by peer", "2 of 4 failed: too slow"]


def test_a_shard_that_is_gone_is_named_after_all_tries(folder, pack, far):
    source = open_source(ShardsConfig(root="memory://far", tries=2, wait=0.001, **kinds_of(folder)), "train")
    for path in pack.glob("*.tar"):
        far.rm(f"/far/{path.name}")
    with pytest.raises(DataError, match=r"memory://far/\d+\.tar: .*: cannot be read: .*\(tried 2 times\)") as caught:
        source.read(REQUEST)
    assert "\n" not in str(caught.value)


@pytest.fixture
def copy(pack, tmp_path) -> Path:
    root = tmp_path / "copy"
    root.mkdir()
    for path in pack.iterdir():
        (root / path.name).write_bytes(path.read_bytes())
    return root


def config_of(folder: Path, root: Path) -> ShardsConfig:
    return ShardsConfig(root=str(root), tries=1, **kinds_of(folder))


def test_a_changed_byte_is_found_when_it_is_read_and_by_a_check(folder, copy):
    span = json.loads((copy / INDEX).read_text())["sequences"][1]["folders"]["images"]["frames"][3]
    shard = copy / f"{span[0]:06d}.tar"
    data = bytearray(shard.read_bytes())
    data[span[1] + span[2] // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(
        DataError, match=rf"{shard.name}: .*/000003\.images\.png: cannot be read: does not hold what was"
    ):
        open_source(config_of(folder, copy), "train").read(REQUEST)
    errors = [finding.file for finding in check_folder(config_of(folder, copy)).errors]
    assert str(shard) in errors
    assert len(errors) == 2


@pytest.mark.parametrize("size", [0, 600, 20_000])
def test_a_shard_that_is_cut_off_is_named(folder, copy, size):
    shard = copy / "000001.tar"
    shard.write_bytes(shard.read_bytes()[:size])
    report = check_folder(config_of(folder, copy))
    assert any(finding.file.startswith(str(shard)) and "ends inside" in finding.what for finding in report.errors)


def test_a_check_waits_once_for_a_shard_and_says_once_what_is_wrong_with_all_of_it(folder, pack, copy, monkeypatch):
    (copy / "000001.tar").write_bytes(b"")
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    config = attrs.evolve(config_of(folder, copy), tries=4, wait=0.5)
    errors = check_folder(config).errors
    assert waits == [0.5, 1.0, 2.0]
    assert errors[0].file == str(copy / "000001.tar")
    folders = [
        folder for each in json.loads((copy / INDEX).read_text())["sequences"] for folder in each["folders"].items()
    ]
    inside = [name for name, folder in folders for span in folder["frames"] if span is not None and span[0] == 1]
    told = [re.search(r"\(as (\d+) frames? after it\)", finding.what) for finding in errors[1:]]
    assert sum(1 + (0 if others is None else int(others[1])) for others in told) == len(inside)
    assert len(told) < len(inside)


def broken(change) -> str:
    document = {
        "format": "vs-shards",
        "version": 1,
        "shards": [{"name": "0.tar", "size": 100, "sha256": ""}],
        "sequences": [{"name": "a", "frames": ["0"], "folders": {"images": {"frames": [[0, 0, 50, 1, ".png"]]}}}],
    }
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is no index of shards"),
        (broken(lambda d: d.update(version=9)), "is of version 9, this program reads version 1"),
        (broken(lambda d: d["shards"][0].update(name="../../etc/passwd")), "does not agree with itself"),
        (broken(lambda d: d["shards"][0].update(size=40)), "a file ends beyond its shard 0.tar"),
        (broken(lambda d: d["sequences"][0].update(frames=["0", "1"])), "does not have 2 frames"),
        (broken(lambda d: d["sequences"][0].update(name="../a")), "has the name of none"),
        (broken(lambda d: d["sequences"].append(d["sequences"][0])), "two sequences have one name"),
        (broken(lambda d: d["sequences"][0]["folders"]["images"].update(frames=[[7, 0, 1, 1, ""]])), "not described"),
    ],
)
def test_a_damaged_index_is_one_line(tmp_path, content, message):
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        open_source(ShardsConfig(root=str(tmp_path)), "train")
    assert "\n" not in str(caught.value)


def test_what_was_not_packed_is_said(folder, pack):
    config = ShardsConfig(root=str(pack), labels=(SegMapsConfig(folder="other"),), flow=NoFlowConfig())
    with pytest.raises(DataError, match=r"other was not packed; packed are images, .*; pack the folder with it"):
        open_source(config, "train")


@pytest.mark.parametrize("frames", ["png", "webp", "jpeg", "video"])
@pytest.mark.parametrize("quality", [90, 100])
def test_frames_that_are_encoded_anew_are_near_or_the_same(folder, tmp_path, frames, quality):
    config = FolderConfig(root=str(folder), **kinds_of(folder))
    options = PackOptions(frames=frames, quality=quality, group=3)
    pack_folder(scan_folder(config, "train"), tmp_path / "pack", options)
    packed = ShardsConfig(root=str(tmp_path / "pack"), **kinds_of(folder))
    one, other = (open_source(each, "val").read(REQUEST) for each in (config, packed))
    error = (one.frames - other.frames).abs()
    if frames == "png" or (quality == 100 and frames != "jpeg"):
        assert torch.equal(one.frames, other.frames)
    else:
        assert 0 < float(error.mean()) * 127.5 < 6
    assert all(torch.equal(one.labels[kind], other.labels[kind]) for kind in one.labels)


def test_nothing_is_left_of_a_pack_that_fails(folder, tmp_path):
    layout = scan_folder(FolderConfig(root=str(folder), **kinds_of(folder)), "train")

    def stop(done: int, _total: int) -> None:
        if done > 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_folder(layout, tmp_path / "deep" / "pack", PackOptions(), stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("")
    with pytest.raises(DataError, match="the folder is not empty"):
        pack_folder(layout, tmp_path / "there", PackOptions())


def test_the_command_packs_all_that_is_there_and_says_what_it_takes(folder, pack, tmp_path, capsys):
    out = tmp_path / "pack"
    assert main(["pack", str(folder), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "21 frames in 1 shard in" in said
    assert "images: " in said
    assert "frames/s" in said
    one = open_source(ShardsConfig(root=str(pack), **kinds_of(folder)), "train").read(REQUEST)
    assert equal(one, open_source(ShardsConfig(root=str(out), **kinds_of(folder)), "train").read(REQUEST))
    assert main(["check", str(out), "--labels", "landmarks-dlib68", "--flow", "files"]) == 0
    assert main(["pack", str(folder), "--out", str(out)]) == 2
    assert "the folder is not empty; choose another one" in capsys.readouterr().err


@pytest.mark.parametrize("order", ["name", "natural"])
def test_frames_of_a_pack_sort_as_those_of_its_folder(tmp_path, order):
    for name in ("s10", "s9"):
        (tmp_path / "data" / "images" / name).mkdir(parents=True)
        for number in (1, 2, 9, 10, 11):
            write_png(tmp_path / "data" / "images" / name / f"{number}.png", striped(number, (32, 48)))
    pack_folder(whole_layout(tmp_path / "data"), tmp_path / "pack", PackOptions())
    how = {"labels": (EdgesConfig(),), "height": 32, "width": 48, "flow": NoFlowConfig(), "order": order}
    one, other = (
        open_source(config, "val")
        for config in (
            FolderConfig(root=str(tmp_path / "data"), **how),
            ShardsConfig(root=str(tmp_path / "pack"), **how),
        )
    )
    assert one.sequences == other.sequences
    request = ClipRequest(sequence=0, start=0, length=5)
    assert torch.equal(one.read(request).frames, other.read(request).frames)


def test_a_video_is_packed_as_it_is_or_as_pictures(tmp_path, capsys):
    path = write_video(
        tmp_path / "clip.mp4", [striped(n, (32, 48)) for n in range(20)], "libx264", "yuv420p", {"bf": "2"}
    )
    how = {"labels": (EdgesConfig(),), "height": 32, "width": 48, "flow": NoFlowConfig()}
    clips = [open_source(VideoConfig(root=str(path), **how), "val").read(ClipRequest(sequence=0, start=11, length=4))]
    for way in ("copy", "png"):
        assert main(["pack", str(path), "--out", str(tmp_path / way), "--frames", way]) == 0
        source = open_source(ShardsConfig(root=str(tmp_path / way), **how), "val")
        assert [(info.name, info.frames) for info in source.sequences] == [("clip", 20)]
        clips.append(source.read(ClipRequest(sequence=0, start=11, length=4)))
    assert [torch.equal(clips[0].frames, clip.frames) for clip in clips] == [True] * 3
    assert [number_of(frame.permute(1, 2, 0).numpy() * 127.5 + 127.5) for frame in clips[1].frames] == [11, 12, 13, 14]
    capsys.readouterr()


def test_nothing_is_left_of_a_pack_whose_video_cannot_be_read(tmp_path, capsys):
    frames = [np.random.default_rng(number).integers(0, 256, (32, 48, 3)).astype(np.uint8) for number in range(9)]
    path = write_video(tmp_path / "clip.mov", frames, "png", "rgb24")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 16] = bytes(16)
    path.write_bytes(data)
    assert main(["pack", str(path), "--out", str(tmp_path / "deep" / "pack")]) == 2
    printed = capsys.readouterr()
    assert re.search(rf"{path} frame 4: .*cannot be decoded.*copy it again", printed.err.replace("\n", " "))
    assert [each.name for each in tmp_path.iterdir()] == ["clip.mov"]


def test_a_pack_of_the_same_folder_is_the_same_bytes(folder, pack, tmp_path):
    layout = scan_folder(FolderConfig(root=str(folder), **kinds_of(folder)), "train")
    pack_folder(layout, tmp_path / "again", PackOptions(shard_bytes=40_000, threads=1))
    for path in pack.iterdir():
        assert np.array_equal(path.read_bytes(), (tmp_path / "again" / path.name).read_bytes())


def packed_video(tmp_path: Path) -> Path:
    frames = [np.random.default_rng(number).integers(0, 256, (32, 48, 3)).astype(np.uint8) for number in range(6)]
    path = write_video(tmp_path / "clip.nut", frames, "rawvideo", "rgb24")
    pack_folder(whole_layout(path), tmp_path / "pack", PackOptions())
    return path


VIDEO = {"labels": (EdgesConfig(),), "height": 32, "width": 48, "flow": NoFlowConfig()}


def test_a_video_is_copied_in_pieces_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(ranges, "_PIECE", 1000)  # videos may be larger than memory
    path = packed_video(tmp_path)
    with tarfile.open(tmp_path / "pack" / "000000.tar") as archive:
        member = archive.extractfile("clip/video.images.nut")
        assert member is not None
        assert member.read() == path.read_bytes()
    configs = ShardsConfig(root=str(tmp_path / "pack"), **VIDEO), VideoConfig(root=str(path), **VIDEO)
    request = ClipRequest(sequence=0, start=2, length=3)
    packed, alone = (open_source(config, "val").read(request) for config in configs)
    assert torch.equal(packed.frames, alone.frames)


def test_damage_in_a_packed_video_that_no_decoder_sees_is_found(tmp_path):
    packed_video(tmp_path)
    shard = tmp_path / "pack" / "000000.tar"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    source = open_source(ShardsConfig(root=str(tmp_path / "pack"), tries=2, wait=0.0, **VIDEO), "val")
    what = r"000000\.tar: clip/video\.images\.nut: cannot be read: does not hold what was packed: .* \(tried 2 times\)"
    with pytest.raises(DataError, match=what):
        source.read(ClipRequest(sequence=0, start=0, length=1))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_names_that_are_no_text_are_packed(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / "data" / "images" / name).mkdir(parents=True)
    for number in range(2):
        write_png(tmp_path / "data" / "images" / name / f"{number}.png", striped(number, (32, 48)))
    pack_folder(whole_layout(tmp_path / "data"), tmp_path / "pack", PackOptions())
    source = open_source(ShardsConfig(root=str(tmp_path / "pack"), **VIDEO), "val")
    assert [info.name for info in source.sequences] == [name]
    assert source.read(ClipRequest(sequence=0, start=0, length=2)).frames.shape[0] == 2


def test_a_folder_without_files_beside_the_pictures_is_named(tmp_path):
    for place in ("images", "notes"):
        (tmp_path / place / "a").mkdir(parents=True)
    write_png(tmp_path / "images" / "a" / "0000.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match=r"notes/a/0000\.\*: the file is missing"):
        whole_layout(tmp_path)


def test_a_check_of_a_pack_tells_how_many_bytes_it_has_compared(folder, pack):
    size = sum(path.stat().st_size for path in pack.glob("*.tar"))
    calls: list[tuple[str, int, int]] = []
    check_folder(ShardsConfig(root=str(pack), **kinds_of(folder)), progress=lambda *call: calls.append(call))
    assert [call for call in calls if call[0] == "bytes"][-1] == ("bytes", size, size)
    assert calls[-1] == ("frames", 21, 21)
