"""Videos as labels and as pictures: every frame at its place, exact or refused; where one ends too early is said."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from video_files import number_of, rgb, striped, write_video
from vs_data import (
    ClipRequest,
    DataError,
    EdgesConfig,
    FolderConfig,
    GreyConfig,
    ImageConfig,
    LabelRequest,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    open_folder,
    open_labels,
    open_references,
    open_source,
)
from vs_data.pictures import write_png
from vs_data.shards import PackOptions, pack_folder, whole_layout
from vs_data.videos import video_frames

MAPS = SegMapsConfig()
SIZE = (32, 48)
HOW = LabelRequest(kinds=(MAPS,), size=SIZE)
DRAWN = LabelRequest(kinds=(LandmarksConfig(),), size=SIZE)


def numbered(count: int, most: int = 35) -> list[np.ndarray]:
    """Greys whose left half is the number of the frame and whose right half has every id."""
    frames = []
    for number in range(count):
        frame = (np.mgrid[:32, :48].sum(axis=0) % most).astype(np.uint8)
        frame[:, :24] = number
        frames.append(frame)
    return frames


LOSSLESS = {
    "ffv1.mkv": ("ffv1", "gray", {}, False),
    "ffv1-rgb.mkv": ("ffv1", "bgr0", {}, True),
    "h264.mp4": ("libx264", "gray", {"qp": "0", "bf": "3"}, False),
    "h264-rgb.mp4": ("libx264rgb", "rgb24", {"qp": "0", "bf": "3", "b-adapt": "0"}, True),
}


def lossless(folder: Path, name: str, frames: list[np.ndarray]) -> Path:
    codec, pixels, options, colours = LOSSLESS[name]
    return write_video(folder / name, [rgb(frame) if colours else frame for frame in frames], codec, pixels, options)


@pytest.mark.parametrize("name", LOSSLESS)
def test_greys_of_lossless_videos_are_class_ids_frame_by_frame(tmp_path: Path, name):
    frames = numbered(30)
    (sequence,) = open_labels(str(lossless(tmp_path, name, frames)), HOW)
    found = list(sequence.read())
    assert (sequence.size, sequence.fps) == (SIZE, 25.0)
    assert sequence.frames in (30, None)
    assert np.array_equal(np.stack([frame.labels["seg_maps"].numpy() for frame in found]), np.stack(frames))
    assert found[7].where == f"{tmp_path / name} frame 7"
    assert found[7].labels["seg_maps"].dtype == torch.uint8


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("b-frames.mp4", "libx264", "yuv420p", {"crf": "10", "bf": "4", "b-adapt": "0", "g": "12"}),
        ("vp9.webm", "libvpx-vp9", "yuv420p", {"crf": "10", "lag-in-frames": "8"}),
        ("mpeg4.mp4", "mpeg4", "yuv420p", {"bf": "2", "qscale": "2"}),
    ],
)
def test_no_frame_of_a_video_is_off_by_one(tmp_path: Path, name, codec, pixels, options):
    path = write_video(tmp_path / name, [striped(number, SIZE) for number in range(30)], codec, pixels, options)
    assert [number_of(picture) for picture in video_frames(path)] == list(range(30))


def test_a_bad_id_is_met_at_its_frame_by_the_message_of_a_map(tmp_path: Path):
    frames = numbered(5)
    frames[3][7, 5] = 77
    (sequence,) = open_labels(str(lossless(tmp_path, "ffv1.mkv", frames)), HOW)
    reading = sequence.read()
    for _ in range(3):
        next(reading)
    with pytest.raises(DataError, match=r"ffv1\.mkv frame 3: class id 77 at x=5, y=7 is out of range"):
        next(reading)


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options", "message"),
    [
        ("a.mp4", "libx264", "gray", {"crf": "20"}, "is encoded as h264, which changes levels"),
        ("b.mp4", "libx264", "yuv420p", {"qp": "0"}, "stores pixels as yuv420p, which rounds levels"),
        ("c.webm", "libvpx-vp9", "yuv420p", {}, "is encoded as vp9, which changes levels"),
    ],
)
def test_videos_that_do_not_keep_levels_hold_no_class_ids(tmp_path: Path, name, codec, pixels, options, message):
    path = write_video(tmp_path / name, [rgb(frame) for frame in numbered(3)], codec, pixels, options)
    with pytest.raises(DataError, match=message) as caught:
        open_labels(str(path), HOW)
    assert "ffv1" in str(caught.value)


def test_a_lossy_video_that_passes_for_lossless_has_levels_that_are_no_ids(tmp_path: Path):
    frames = [frame % 2 * 33 for frame in numbered(3)]
    path = write_video(tmp_path / "a.mp4", [rgb(frame) for frame in frames], "libx264rgb", "rgb24", {"crf": "40"})
    with pytest.raises(DataError, match=r"a\.mp4 frame 0: (class id \d+ at .* is out of range|holds colours)"):
        list(open_labels(str(path), HOW)[0].read())


def test_colours_are_no_class_ids(tmp_path: Path):
    frame = rgb(numbered(1)[0])
    frame[3, 4, 1] += 1
    path = write_video(tmp_path / "a.mkv", [frame], "ffv1", "bgr0")
    with pytest.raises(DataError, match=r"a\.mkv frame 0: holds colours"):
        list(open_labels(str(path), HOW)[0].read())


def test_levels_of_drawings_are_their_values_and_may_be_lossy(tmp_path: Path):
    frames = [np.full(SIZE, level, np.uint8) for level in (0, 100, 255)]
    (exact,) = open_labels(str(lossless(tmp_path, "h264.mp4", frames)), DRAWN)
    found = [frame.labels["landmarks-dlib68"] for frame in exact.read()]
    assert [label.shape for label in found] == [(1, *SIZE)] * 3
    assert [float(label.mean()) for label in found] == pytest.approx([0, 100 / 255, 1])
    path = write_video(tmp_path / "lossy.mp4", [rgb(frame) for frame in frames], "libx264", "yuv420p")
    near = [float(frame.labels["landmarks-dlib68"].mean()) for frame in open_labels(str(path), DRAWN)[0].read()]
    assert near == pytest.approx([0, 100 / 255, 1], abs=0.03)


@pytest.mark.parametrize(("name", "share"), [("ffv1.mkv", 0.5), ("ffv1.mkv", 0.95)])
def test_a_truncated_video_gives_what_is_there_and_says_where_it_ends(tmp_path: Path, name, share):
    frames = [np.random.default_rng(number).integers(0, 35, SIZE).astype(np.uint8) for number in range(20)]
    path = lossless(tmp_path, name, frames)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    (sequence,) = open_labels(str(path), HOW)
    got = []
    with pytest.raises(DataError, match=r"ends after frame|frame \d+ ") as caught:
        got.extend(frame.labels["seg_maps"].numpy() for frame in sequence.read())
    assert 5 < len(got) < 20
    assert f"frame {len(got)} " in str(caught.value) or f"ends after frame {len(got) - 1}" in str(caught.value)
    assert np.array_equal(np.stack(got), np.stack(frames[: len(got)]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("colours", [{"colorprim": "bt709", "transfer": "bt709", "colormatrix": "bt709"}, {}])
def test_pictures_in_a_video_are_labels_as_in_training(tmp_path: Path, channels: int, colours: dict[str, str]):
    """Whatever matrix of YUV the video names, which a reader of bare levels would not look at."""
    (tmp_path / "image").mkdir()
    frames = [np.full((48, 64, 3), (40 * number + 20, 200, 90), np.uint8) for number in range(4)]
    (tmp_path / "images" / "a").mkdir(parents=True)
    for number, frame in enumerate(frames):
        write_png(tmp_path / "images" / "a" / f"{number}.png", frame)
    parameters = ":".join(f"{key}={value}" for key, value in colours.items())
    options = {"x264-params": parameters} if parameters else {}
    video = write_video(tmp_path / "image" / "a.mp4", frames, "libx264", "yuv420p", options)
    kind = ImageConfig(channels=channels)
    config = FolderConfig(root=str(tmp_path), height=48, width=64, labels=(kind,), flow=NoFlowConfig())
    trained = open_folder(config, "val").read(ClipRequest(sequence=0, start=0, length=4)).labels["image"]
    (sequence,) = open_labels(str(video), LabelRequest(kinds=(kind,), size=(48, 64)))
    driven = torch.stack([frame.labels["image"] for frame in sequence.read()])
    assert torch.equal(driven, trained)


def test_a_truncated_mp4_that_plays_at_once_says_where_it_ends(tmp_path: Path):
    frames = [np.random.default_rng(number).integers(0, 35, SIZE).astype(np.uint8) for number in range(20)]
    whole = lossless(tmp_path, "h264.mp4", frames)
    path = tmp_path / "fast.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "+faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    (sequence,) = open_labels(str(path), HOW)
    got = []
    with pytest.raises(DataError, match=r"fast\.mp4: (ends after )?frame \d+"):
        got.extend(frame.labels["seg_maps"].numpy() for frame in sequence.read())
    assert 5 < len(got) < 20
    assert np.array_equal(np.stack(got), np.stack(frames[: len(got)]))


@pytest.mark.parametrize(
    "content", [b"", b"no video", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile a.mkv\n"]
)
def test_what_is_no_video_is_one_line(tmp_path: Path, content):
    lossless(tmp_path, "ffv1.mkv", numbered(2)).rename(tmp_path / "a.mkv")
    path = tmp_path / "b.mkv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"b\.mkv: cannot be opened as a video") as caught:
        open_labels(str(path), HOW)
    assert "\n" not in str(caught.value)


def test_videos_of_labels_in_a_data_folder_are_read_as_training_reads_them(tmp_path: Path):
    """Of one kind beside another that is in files, and of references too."""
    ids, other = numbered(9), numbered(9, most=7)
    for place in ("images", "seg_maps", "parts/a"):
        (tmp_path / place).mkdir(parents=True)
    write_video(tmp_path / "images" / "a.mp4", [striped(number, SIZE) for number in range(9)], "libx264", "yuv420p")
    lossless(tmp_path / "seg_maps", "ffv1.mkv", ids).rename(tmp_path / "seg_maps" / "a.MKV")
    for number, frame in enumerate(other):
        write_png(tmp_path / "parts" / "a" / f"{number}.png", frame)
    kinds = (MAPS, SegMapsConfig(folder="parts"))
    how = LabelRequest(kinds=kinds, size=SIZE)
    (sequence,) = open_labels(str(tmp_path), how)
    found = list(sequence.read())
    config = FolderConfig(root=str(tmp_path), height=32, width=48, labels=kinds, flow=NoFlowConfig())
    clip = open_source(config, "val").read(ClipRequest(sequence=0, start=0, length=9))
    assert (sequence.name, sequence.frames, found[3].name) == ("a", 9, "000003")
    for kind in ("seg_maps", "parts"):
        assert torch.equal(torch.stack([frame.labels[kind] for frame in found]), clip.labels[kind])
    for source in (tmp_path, f"{tmp_path / 'images' / 'a.mp4'}:4"):
        examples = open_references(str(source), how, count=1).references
        assert number_of(((examples.frames[0].permute(1, 2, 0) + 1) * 127.5).numpy()) == 4
        assert torch.equal(examples.labels["seg_maps"], clip.labels["seg_maps"][4:5])
    (tmp_path / "parts" / "a" / "0.png").unlink()
    with pytest.raises(DataError, match=r"parts/a: has 8 frames, .*a\.MKV has 9; one for each frame is needed"):
        open_labels(str(tmp_path), how)


def test_a_folder_of_driving_videos_is_a_sequence_each(tmp_path: Path):
    for name, length in (("a", 4), ("b", 6)):
        write_video(tmp_path / f"{name}.mkv", [striped(number, SIZE) for number in range(length)], "ffv1", "bgr0")
    how = LabelRequest(kinds=(EdgesConfig(), GreyConfig()), size=SIZE)
    both = open_labels(str(tmp_path), how)
    assert [(sequence.name, sequence.frames) for sequence in both] == [("a", 4), ("b", 6)]
    (alone,) = open_labels(str(tmp_path / "b.mkv"), how)
    for one, other in zip(both[1].read(), alone.read(), strict=True):
        assert all(torch.equal(one.labels[kind], other.labels[kind]) for kind in ("edges", "grey"))


def test_a_pack_drives_as_its_folder_does(tmp_path: Path):
    """Maps as files beside maps as a video, which are packed as they are."""
    for place in ("images/a", "seg_maps", "parts/a"):
        (tmp_path / "data" / place).mkdir(parents=True)
    for number, frame in enumerate(numbered(5, most=7)):
        write_png(tmp_path / "data" / "images" / "a" / f"{number}.png", striped(number, SIZE))
        write_png(tmp_path / "data" / "parts" / "a" / f"{number}.png", frame)
    lossless(tmp_path / "data" / "seg_maps", "ffv1.mkv", numbered(5)).rename(tmp_path / "data" / "seg_maps" / "a.mkv")
    pack_folder(whole_layout(tmp_path / "data"), tmp_path / "pack", PackOptions())
    how = LabelRequest(kinds=(MAPS, SegMapsConfig(folder="parts")), size=SIZE)
    (folder,), (pack,) = (open_labels(str(tmp_path / name), how) for name in ("data", "pack"))
    assert (pack.name, pack.frames, pack.size) == (folder.name, folder.frames, folder.size)
    for one, other in zip(folder.read(), pack.read(), strict=True):
        assert all(torch.equal(one.labels[kind], other.labels[kind]) for kind in ("seg_maps", "parts"))
    with pytest.raises(DataError, match="depth was not packed; packed are images, parts, seg_maps"):
        open_labels(str(tmp_path / "pack"), LabelRequest(kinds=(ImageConfig(folder="depth"),), size=SIZE))
