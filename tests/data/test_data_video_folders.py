"""Videos in the place of folders: the same clips bit for bit, and one line for what is wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from video_files import number_of, striped, write_video
from vs_data import (
    AugmentConfig,
    Clip,
    ClipRequest,
    DataError,
    EdgesConfig,
    FolderConfig,
    LoaderConfig,
    NoFlowConfig,
    SegMapsConfig,
    VideoConfig,
    check_folder,
    check_roots,
    load_clips,
    open_source,
)
from vs_data.pictures import write_png

SIZE = (32, 48)
LENGTHS = {"a": 9, "b": 5, "c": 12}
READ = {
    "height": 24,
    "width": 32,
    "augment": AugmentConfig(scale=0.3, flip=0.5),
    "flow": NoFlowConfig(),
}


def frames_of(name: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(ord(name))
    count = LENGTHS[name]
    return (
        list(rng.integers(0, 256, (count, *SIZE, 3)).astype(np.uint8)),
        list(rng.integers(0, 35, (count, *SIZE)).astype(np.uint8)),
    )


def as_files(place: Path, pictures: list[np.ndarray]) -> None:
    place.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        write_png(place / f"{number:04d}.png", picture)


def as_video(place: Path, pictures: list[np.ndarray]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    write_video(place.with_suffix(".mkv"), pictures, "ffv1", "gray" if pictures[0].ndim == 2 else "bgr0", {"g": "4"})


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[str, Path]:
    """The same sequences as files, as lossless videos, and with either of them for pictures and labels."""
    ways = {"files": (as_files, as_files), "videos": (as_video, as_video), "mixed": (as_video, as_files)}
    ways["labels"] = (as_files, as_video)
    found = {}
    for way, (write_images, write_labels) in ways.items():
        found[way] = tmp_path_factory.mktemp(way)
        for name in LENGTHS:
            images, maps = frames_of(name)
            write_images(found[way] / "images" / name, images)
            write_labels(found[way] / "seg_maps" / name, maps)
    return found


def equal(one: Clip, other: Clip) -> bool:
    return torch.equal(one.frames, other.frames) and all(
        torch.equal(one.labels[kind], other.labels[kind]) for kind in one.labels
    )


@settings(max_examples=15)
@given(
    sequence=st.integers(0, 2),
    start=st.integers(0, 4),
    length=st.integers(1, 5),
    seed=st.integers(0, 99),
    references=st.lists(st.integers(0, 4), max_size=3),
    cache=st.sampled_from([0, 1]),
)
def test_videos_and_files_give_equal_clips(roots, sequence, start, length, seed, references, cache):
    start = min(start, 5 - length)
    request = ClipRequest(sequence=sequence, start=start, length=length, seed=seed, references=tuple(references))
    clips = {
        way: open_source(FolderConfig(root=str(root), cache_mb=cache, **READ), "train").read(request)
        for way, root in roots.items()
    }
    assert all(equal(clips["files"], clip) for clip in clips.values())
    if references:
        want = clips["files"].references
        assert all(torch.equal(want.frames, clip.references.frames) for clip in clips.values())


def test_workers_and_where_a_run_is_resumed_change_no_batch(roots):
    source = open_source(FolderConfig(root=str(roots["videos"]), **READ), "train")
    plain = open_source(FolderConfig(root=str(roots["files"]), **READ), "train")

    def batches(source, workers, start=0):
        config = LoaderConfig(batch_size=2, workers=workers)
        return list(load_clips(source, config, seed=3, length_of=lambda _: 3, start=start, stop=4))

    want = batches(plain, 0)
    for got in (batches(source, 0), batches(source, 2)):
        assert [equal(one, other) for one, other in zip(want, got, strict=True)] == [True] * 4
    assert [equal(one, other) for one, other in zip(want[2:], batches(source, 1, 2), strict=True)] == [True] * 2


def test_a_check_finds_nothing_wrong_and_counts_the_same(roots):
    of_files, of_videos = (check_folder(FolderConfig(root=str(roots[way]), **READ)) for way in ("files", "videos"))
    assert not of_videos.errors
    assert of_videos.sequences == of_files.sequences
    assert of_videos.sizes == of_files.sizes == {SIZE: 26}
    assert of_videos.class_pixels == of_files.class_pixels


def first_error(root: Path, **how) -> str:
    with pytest.raises(DataError) as caught:
        open_source(FolderConfig(root=str(root), **READ, **how), "train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_label_too_few_is_said_with_both_numbers(tmp_path):
    images, maps = frames_of("a")
    as_video(tmp_path / "images" / "a", images)
    as_files(tmp_path / "seg_maps" / "a", maps[:-1])
    assert "seg_maps/a: has 8 frames, a.mkv has 9; one for each frame is needed" in first_error(tmp_path)


def test_a_sequence_is_a_folder_or_a_video_not_both(tmp_path):
    images, maps = frames_of("a")
    for write in (as_video, as_files):
        write(tmp_path / "images" / "a", images)
    as_files(tmp_path / "seg_maps" / "a", maps)
    assert "images/a.mkv: the same sequence as a; remove one of the two" in first_error(tmp_path)


def test_labels_in_a_lossy_video_are_refused_when_they_are_read(tmp_path):
    images, maps = frames_of("a")
    as_files(tmp_path / "images" / "a", images)
    (tmp_path / "seg_maps").mkdir()
    write_video(tmp_path / "seg_maps" / "a.mp4", maps, "libx264", "gray", {"crf": "10"})
    source = open_source(FolderConfig(root=str(tmp_path), **READ), "train")
    with pytest.raises(DataError, match=r"a\.mp4: is encoded as h264, which changes levels"):
        source.read(ClipRequest(sequence=0, start=0, length=2))
    report = check_folder(FolderConfig(root=str(tmp_path), **READ))
    assert "is encoded as h264" in report.errors[0].what


def test_a_truncated_video_is_an_error_before_training(tmp_path):
    images, maps = frames_of("c")
    as_video(tmp_path / "images" / "c", images)
    as_files(tmp_path / "seg_maps" / "c", maps)
    path = tmp_path / "images" / "c.mkv"
    path.write_bytes(path.read_bytes()[:20000])
    assert "images/c.mkv: ends after frame" in first_error(tmp_path)


def numbered(path: Path, count: int = 30) -> Path:
    return write_video(path, [striped(number, SIZE) for number in range(count)], "libx264", "yuv420p", {"bf": "3"})


def test_a_video_alone_is_a_source_whose_end_is_held_out(tmp_path):
    path = numbered(tmp_path / "clip.mp4")
    config = VideoConfig(
        root=str(path), labels=(EdgesConfig(),), height=32, width=48, val_seconds=0.4, flow=NoFlowConfig()
    )
    train, held = open_source(config, "train"), open_source(config, "val")
    assert [(info.name, info.frames) for info in (*train.sequences, *held.sequences)] == [("clip", 20), ("clip", 10)]
    assert check_roots(config) == ("train", "val")
    clip = held.read(ClipRequest(sequence=0, start=3, length=2))
    assert [number_of(frame.permute(1, 2, 0).numpy() * 127.5 + 127.5) for frame in clip.frames] == [23, 24]
    assert clip.labels["edges"].shape == (2, 1, 32, 48)
    assert not check_folder(config, split="val").errors
    everything = VideoConfig(root=str(path), labels=(EdgesConfig(),))
    assert open_source(everything, "val").sequences[0].frames == 30
    assert check_roots(everything) == ("train",)


def test_labels_of_a_video_lie_beside_it_and_are_held_out_along(tmp_path):
    numbered(tmp_path / "clip.mp4", 9)
    maps = frames_of("a")[1]
    as_files(tmp_path / "seg_maps" / "clip", maps)
    config = VideoConfig(root=str(tmp_path), height=32, width=48, val_seconds=0.12, flow=NoFlowConfig())
    clip = open_source(config, "val").read(ClipRequest(sequence=0, start=0, length=3))
    assert np.array_equal(clip.labels["seg_maps"].numpy(), np.stack(maps[6:]))


def test_labels_of_other_videos_beside_one_are_not_surplus(tmp_path):
    for name in ("a", "b"):
        numbered(tmp_path / f"{name}.mp4", LENGTHS[name])
        as_files(tmp_path / "seg_maps" / name, frames_of(name)[1])
    config = VideoConfig(root=str(tmp_path / "b.mp4"), height=32, width=48, flow=NoFlowConfig())
    assert [info.name for info in open_source(config, "train").sequences] == ["b"]
    (tmp_path / "seg_maps" / "b" / "0004.png").unlink()
    with pytest.raises(DataError, match=r"seg_maps/b: has 4 frames, b\.mp4 has 5"):
        open_source(config, "train")


def test_a_video_whose_labels_are_an_empty_folder_has_none(tmp_path):
    numbered(tmp_path / "a.mp4", 5)
    (tmp_path / "seg_maps" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"seg_maps/a: has 0 frames, a\.mp4 has 5"):
        open_source(VideoConfig(root=str(tmp_path / "a.mp4")), "train")


def test_a_part_that_is_too_short_is_said(tmp_path):
    config = VideoConfig(root=str(numbered(tmp_path / "clip.mp4", 9)), labels=(EdgesConfig(),), val_seconds=10)
    with pytest.raises(DataError, match=r"clip\.mp4: has 0 frames before its last 10 s, and 9 in them; at least 2"):
        open_source(config, "train")


@pytest.mark.parametrize("name", ["nothing.mp4", "folder"])
def test_no_video_is_one_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"does not exist; expected a video|holds no videos; expected"):
        open_source(VideoConfig(root=str(tmp_path / name), labels=(SegMapsConfig(),)), "train")


def test_a_check_tells_which_videos_are_opened_before_it_looks_at_frames(tmp_path):
    for name in "ab":
        numbered(tmp_path / f"{name}.mp4", 3)
    (tmp_path / "c.mp4").write_bytes(b"no video")
    calls: list[tuple[str, int, int]] = []
    config = VideoConfig(root=str(tmp_path), labels=(EdgesConfig(),), flow=NoFlowConfig())
    report = check_folder(config, progress=lambda *call: calls.append(call))
    assert calls == [*(("videos", done, 3) for done in range(3)), *(("frames", done, 6) for done in range(1, 7))]
    assert [Path(finding.file).name for finding in report.errors] == ["c.mp4"]
