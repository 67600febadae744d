"""Shards that are far away or hurt: read ahead, tried again until they are whole, named where they are not."""

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pytest
import torch
import vs_data.ranges as ranges
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from video_files import striped, write_video
from vs_data import (
    Clip,
    ClipRequest,
    DataError,
    EdgesConfig,
    LoaderConfig,
    LoaderError,
    NoFlowConfig,
    ShardsConfig,
    check_folder,
    load_clips,
    open_source,
)
from vs_data.pictures import write_png
from vs_data.shards import INDEX, PackOptions, pack_folder, whole_layout

SIZE = (32, 48)
READ = {"height": 32, "width": 48, "labels": (EdgesConfig(),), "flow": NoFlowConfig()}
ALL = ClipRequest(sequence=0, start=0, length=12)


class Bucket(AbstractFileSystem):
    """Files behind an address, of which parts are fetched as of an object store's: each is noted."""

    protocol = "bucket"
    files: ClassVar[dict[str, bytes]] = {}
    fetched: ClassVar[list[tuple[str, int, int]]] = []
    failures: ClassVar[list[Exception]] = []

    def info(self, path: str, **_how: object) -> dict[str, object]:
        path = self._strip_protocol(path)
        if path not in self.files:
            raise FileNotFoundError(path)
        return {"name": path, "size": len(self.files[path]), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **how: object) -> AbstractBufferedFile:
        how.pop("autocommit", None)
        return Part(self, path, mode, **how)


class Part(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        if Bucket.failures:
            raise Bucket.failures.pop()
        Bucket.fetched.append((self.path, start, end))
        return Bucket.files[self.path][start:end]


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    """Twelve pictures of noise, 4.7 kB each, in several shards."""
    root = tmp_path_factory.mktemp("pack")
    (root / "data" / "images" / "a").mkdir(parents=True)
    for number in range(12):
        picture = np.random.default_rng(number).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        write_png(root / "data" / "images" / "a" / f"{number:04d}.png", picture)
    packed = pack_folder(whole_layout(root / "data"), root / "pack", PackOptions(shard_bytes=25_000))
    assert packed.shards == 3
    return root / "pack"


@pytest.fixture
def here(pack, tmp_path) -> Path:
    for path in pack.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture
def bucket(pack, monkeypatch) -> str:
    """The pack behind an address, of which nobody has a file open."""
    monkeypatch.setattr(ranges, "_open_files", threading.local())
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    for name, value in (("files", {}), ("fetched", []), ("failures", [])):
        monkeypatch.setattr(Bucket, name, value)
    Bucket.files.update({f"pack/{path.name}": path.read_bytes() for path in pack.iterdir()})
    return "bucket://pack"


def read(root: str | Path, request: ClipRequest = ALL, **how: object) -> Clip:
    return open_source(ShardsConfig(root=str(root), **READ, **how), "val").read(request)


def once(heal: Callable[[], object], monkeypatch) -> list[float]:
    """Let the first wait bring something in order, and return all waits."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        if not waits:
            heal()
        waits.append(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    return waits


def test_what_is_fetched_ahead_serves_the_frames_that_follow(pack, bucket):
    want = read(pack)
    assert torch.equal(read(bucket, ahead_mb=1).frames, want.frames)
    shards = [part for part in Bucket.fetched if part[0].endswith(".tar")]
    assert sorted({path for path, _, _ in shards}) == ["pack/000000.tar", "pack/000001.tar", "pack/000002.tar"]
    assert len(shards) == 3  # one for each, though each holds several frames
    sizes = [len(Bucket.files[path]) for path, _, _ in shards]
    assert [end for _, _, end in shards] == sizes  # no further than the file, however much is to be fetched at once


def test_no_more_is_fetched_ahead_than_is_said(bucket):
    config = json.loads(Bucket.files[f"pack/{INDEX}"])
    span = config["sequences"][0]["folders"]["images"]["frames"][0]
    ahead = ranges.Patience(ahead=1000)
    data = ranges.read_range(f"{bucket}/000000.tar", span[1], span[2], ahead, crc32=span[3])
    assert len(data) == span[2]
    assert Bucket.fetched == [("pack/000000.tar", span[1], span[1] + span[2] + 1000)]


def test_a_part_that_comes_damaged_is_fetched_again(pack, bucket, monkeypatch, caplog):
    whole = Bucket.files["pack/000001.tar"]
    Bucket.files["pack/000001.tar"] = whole[:9000] + bytes([whole[9000] ^ 16]) + whole[9001:]
    waits = once(lambda: Bucket.files.update({"pack/000001.tar": whole}), monkeypatch)
    assert torch.equal(read(bucket, wait=0.5).frames, read(pack).frames)
    assert waits == [0.5]
    assert "try 1 of 4 failed: does not hold what was packed: the checksum is another" in caplog.text


def test_a_connection_that_breaks_amid_a_file_is_made_again(pack, bucket, monkeypatch, caplog):
    source = open_source(ShardsConfig(root=bucket, wait=0.5, **READ), "val")
    Bucket.failures.extend([ConnectionResetError("reset"), OSError("503")])
    waits = once(lambda: None, monkeypatch)
    assert torch.equal(source.read(ALL).frames, read(pack).frames)
    assert waits == [0.5, 1.0]
    assert "try 1 of 4 failed: 503" in caplog.text
    assert "try 2 of 4 failed: reset" in caplog.text


@pytest.mark.parametrize("far", [False, True])
def test_a_shard_that_is_gone_for_a_while_is_waited_for(pack, here, bucket, far, monkeypatch):
    shard, name = here / "000002.tar", "pack/000002.tar"
    data = shard.read_bytes()
    shard.unlink()
    del Bucket.files[name]

    def come_back() -> None:
        shard.write_bytes(data)
        Bucket.files[name] = data

    waits = once(come_back, monkeypatch)
    assert torch.equal(read(bucket if far else here).frames, read(pack).frames)
    assert waits == [1.0]


def hurt_by(how: str, data: bytes, other: bytes) -> bytes | None:
    match how:
        case "missing":
            return None
        case "truncated":
            return data[:8000]
        case "flipped":
            return data[:8000] + bytes([data[8000] ^ 1]) + data[8001:]
        case _:
            return other


WHATS = {
    "missing": r"No such file or directory|pack/000001\.tar",
    "truncated": r"ends (inside of it \(after 8000 bytes\)|before it)",
    "flipped": r"does not hold what was packed: the checksum is another",
    "replaced": r"does not hold what was packed: the checksum is another",
}


@pytest.mark.parametrize("how", WHATS)
@pytest.mark.parametrize("far", [False, True])
def test_a_shard_that_stays_hurt_is_named_after_all_tries_and_found_by_a_check(here, bucket, how, far, monkeypatch):
    hurt = hurt_by(how, (here / "000001.tar").read_bytes(), (here / "000000.tar").read_bytes())
    if hurt is None:
        (here / "000001.tar").unlink()
        del Bucket.files["pack/000001.tar"]
    else:
        (here / "000001.tar").write_bytes(hurt)
        Bucket.files["pack/000001.tar"] = hurt
    place = bucket if far else str(here)
    waits = once(lambda: None, monkeypatch)
    with pytest.raises(DataError) as caught:
        read(place, tries=3, wait=0.5)
    assert waits == [0.5, 1.0]
    found = f"{caught.value.file}: {caught.value.what}"
    assert found.startswith(f"{place}/000001.tar: a/0000")
    assert found.endswith("(tried 3 times)")
    assert re.search(WHATS[how], caught.value.what)
    errors = check_folder(ShardsConfig(root=place, tries=1, **READ)).errors
    assert f"{place}/000001.tar" in {error.file for error in errors}
    assert not any(name in error.file for error in errors for name in ("000000.tar", "000002.tar"))


def test_workers_end_the_run_with_its_name_and_skip_nothing(here):
    (here / "000001.tar").write_bytes((here / "000000.tar").read_bytes())
    source = open_source(ShardsConfig(root=str(here), tries=2, wait=0.0, **READ), "val")
    how = LoaderConfig(batch_size=1, workers=2)
    with pytest.raises((DataError, LoaderError), match=r"000001\.tar: a/0000\d\d\.images\.png: cannot be read"):
        list(load_clips(source, how, seed=0, length_of=lambda _: 12, start=0, stop=3))


def test_an_index_that_is_not_there_is_not_waited_for(here, monkeypatch):
    (here / INDEX).unlink()
    waits = once(lambda: None, monkeypatch)
    with pytest.raises(DataError, match=r"index\.json: cannot be read: No such file or directory"):
        read(here)
    assert waits == []


def test_an_address_that_nobody_opens_is_not_waited_for(monkeypatch):
    waits = once(lambda: None, monkeypatch)
    with pytest.raises(DataError, match=r"nowhere://pack/index\.json: is an address that fsspec does not open: Proto"):
        read("nowhere://pack")
    assert waits == []


def test_a_packed_video_that_comes_damaged_is_compared_again(tmp_path, bucket, monkeypatch):
    path = write_video(tmp_path / "clip.nut", [striped(n, SIZE) for n in range(12)], "rawvideo", "rgb24")
    pack_folder(whole_layout(path), tmp_path / "pack", PackOptions())
    whole = (tmp_path / "pack" / "000000.tar").read_bytes()
    index = (tmp_path / "pack" / INDEX).read_bytes()
    middle = len(whole) // 2
    hurt = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    Bucket.files.update({"pack/000000.tar": hurt, f"pack/{INDEX}": index})
    waits = once(lambda: Bucket.files.update({"pack/000000.tar": whole}), monkeypatch)
    clip, want = read(bucket), read(tmp_path / "pack")
    assert waits == [1.0]
    assert torch.equal(clip.frames, want.frames)
