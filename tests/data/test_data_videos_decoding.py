"""What a decoder is asked to do: forward within a clip, by slices, within a stated memory; pixels by standards."""

import os
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import vs_data.videos.random_access as random_access
from test_data_videos import BT601, BT709, at, decoded_by_hand, flat_yuv
from video_files import number_of, striped, write_video
from vs_data import ClipRequest, DisFlowConfig, EdgesConfig, NoFlowConfig, VideoConfig, open_source
from vs_data.pictures import inspect_rgb, read_rgb
from vs_data.threads import one_opencv_thread
from vs_data.videos import opened

SIZE = (32, 48)
BT2020 = (0.2627, 0.0593)


@pytest.fixture
def video(tmp_path) -> Path:
    frames = [striped(number, SIZE) for number in range(30)]
    options = {"bf": "3", "b-adapt": "0", "g": "10", "sc_threshold": "0", "crf": "10"}
    return write_video(tmp_path / "clip.mp4", frames, "libx264", "yuv420p", options)


@pytest.fixture
def moves(monkeypatch) -> list[int]:
    """The frames that decoders were sent to."""
    monkeypatch.setattr(random_access, "_kept_by", {})
    found: list[int] = []
    move = random_access._move

    def noted(reader, start: int) -> None:
        found.append(start)
        move(reader, start)

    monkeypatch.setattr(random_access, "_move", noted)
    return found


def source_of(video: Path, **how):
    return open_source(VideoConfig(root=str(video), labels=(EdgesConfig(),), height=32, width=48, **how), "train")


def numbers_in(frames: Sequence) -> list[int]:
    return [number_of(frame.permute(1, 2, 0).numpy() * 127.5 + 127.5) for frame in frames]


@pytest.mark.parametrize("flow", [NoFlowConfig(), DisFlowConfig()], ids=["none", "dis"])
@pytest.mark.parametrize("cache", [0, 256])
@pytest.mark.parametrize(("start", "expected"), [(0, []), (13, [10]), (20, [20])])
def test_within_a_clip_the_decoder_only_goes_forward(video, moves, flow, cache, start, expected):
    source = source_of(video, cache_mb=cache, flow=flow)
    clip = source.read(ClipRequest(sequence=0, start=start, length=8))
    assert numbers_in(clip.frames) == list(range(start, start + 8))
    assert moves == expected  # to the key frame before the first frame, once; from the beginning it need not go
    source.read(ClipRequest(sequence=0, start=start + 8, length=2))
    assert moves == expected


def test_what_is_kept_takes_no_more_memory_than_is_said_and_is_not_decoded_again(video, moves):
    frame = SIZE[0] * SIZE[1] * 3
    room = 5 * frame + frame // 2
    for number in [*range(30), *range(29, 0, -4), 3]:
        assert number_of(read_rgb(at(video, number, room))) == number
        kept = random_access._kept_by[os.getpid()]
        assert sum(shown.pixels.nbytes for shown in kept.frames.values()) == kept.size <= room
    assert len(kept.frames) == 5
    moves.clear()
    for *_, number in list(kept.frames):
        assert number_of(read_rgb(at(video, number, room))) == number
    assert moves == []


def test_a_process_keeps_no_more_of_all_its_videos_together(video, tmp_path, moves):
    other = tmp_path / "other.mp4"
    other.write_bytes(video.read_bytes())
    room = SIZE[0] * SIZE[1] * 3 * 4
    for path in (video, other, video):
        for number in range(8):
            assert number_of(read_rgb(at(path, number, room))) == number
    assert random_access._kept_by[os.getpid()].size <= room


def test_frames_are_decoded_by_slices_in_as_many_threads_as_pictures_are_worked_on(video):
    with opened(video) as (_, stream):
        assert stream.codec_context.thread_type.name == "SLICE"
        next(stream.container.decode(stream))
        assert stream.codec_context.thread_type.name == "SLICE"
    with one_opencv_thread(), opened(video) as (_, stream):
        assert stream.codec_context.thread_count == 1


# Of the header of a track (ISO/IEC 14496-12, 6.2.2 and 8.3.2): a b u, c d v; then quarter turns to the right.
MATRICES = {
    "upright": ((1, 0, 0), (0, 1, 0), 0),
    "right": ((0, 1, 0), (-1, 0, 0), 1),
    "over": ((-1, 0, 0), (0, -1, 0), 2),
    "left": ((0, -1, 0), (1, 0, 0), 3),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_telephones_video_is_turned_as_the_header_of_its_track_says(tmp_path, name):
    """A point (x, y), y down, is shown at (ax + cy, bx + dy), moved into view."""
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    path = write_video(tmp_path / "a.mov", [picture] * 2, "png", "rgb24")
    *rows, turns = MATRICES[name]
    numbers = [round(value * 2**16) for row in rows for value in row] + [0, 0, 2**30]
    data = path.read_bytes()
    place = data.index(b"tkhd") + 4 + 40  # version and flags, times, ids, layer, group, volume
    plain = [2**16, 0, 0, 0, 2**16, 0, 0, 0, 2**30]
    assert data[place : place + 36] == b"".join(value.to_bytes(4, "big", signed=True) for value in plain)
    matrix = b"".join(value.to_bytes(4, "big", signed=True) for value in numbers)
    path.write_bytes(data[:place] + matrix + data[place + 36 :])
    found = inspect_rgb(at(path, 1))
    assert np.array_equal(found.pixels, np.rot90(picture, -turns))
    assert found.notes == (() if turns == 0 else ("is turned as its video says",))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("yuv", [(81, 90, 200), (145, 54, 34)])
def test_colours_of_wide_gamut_video_are_those_of_its_matrix(tmp_path, yuv, full):
    path = flat_yuv(tmp_path / "a.mkv", yuv, SIZE, colorspace=9, color_range=2 if full else 1)
    assert np.abs(read_rgb(at(path, 0))[3, 3] - decoded_by_hand(yuv, BT2020, full=full)).max() < 1.5


@pytest.mark.parametrize(("said", "matrix", "full"), [(1, BT709, False), (6, BT601, False), (1, BT709, True)])
def test_colours_of_h264_are_those_that_its_stream_names(tmp_path, said, matrix, full):
    yuv, path = (110, 100, 170), tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = said, 2 if full else 1
        planes = np.concatenate(
            [np.full(SIZE[0] * SIZE[1] // part, value) for value, part in zip(yuv, (1, 4, 4), strict=True)]
        )
        frame = av.VideoFrame.from_ndarray(planes.astype(np.uint8).reshape(-1, SIZE[1]), format="yuv420p")
        frame.colorspace, frame.color_range, frame.pts = said, 2 if full else 1, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    picture = read_rgb(at(path, 0))
    assert np.abs(picture - decoded_by_hand(yuv, matrix, full=full)).max() < 1.5


def test_ten_bits_between_levels_of_eight_are_rounded_to_the_nearest(tmp_path):
    path = tmp_path / "a.mkv"
    levels = np.linspace(64, 940, SIZE[1]).round().astype(np.uint16)  # black to white in 10 bits
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv444p10le"
        frame = av.VideoFrame(SIZE[1], SIZE[0], "yuv444p10le")
        for plane, row in zip(frame.planes, (levels, levels * 0 + 512, levels * 0 + 512), strict=True):
            rows = np.zeros((SIZE[0], plane.line_size // 2), "<u2")
            rows[:, : SIZE[1]] = row
            plane.update(rows.tobytes())
        frame.colorspace, frame.color_range, frame.pts = 1, 1, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    expected = (levels.astype(float) - 64) / 876 * 255
    assert np.abs(read_rgb(at(path, 0)).astype(float) - expected[None, :, None]).max() <= 1.0


@pytest.mark.parametrize("size", [(31, 47), (33, 25)])
@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.mkv", "mpeg4")])
def test_odd_sizes_of_video_with_loss_are_whole(tmp_path, size, name, codec):
    frames = [striped(number, size) for number in range(12)]
    path = write_video(tmp_path / name, frames, codec, "yuv420p", {"b": "2M", "g": "6"})
    for number in (11, 3, 7):
        picture = read_rgb(at(path, number))
        assert picture.shape == (*size, 3)
        assert number_of(picture) == number
        assert np.abs(picture[-1].astype(int) - frames[number][-1]).mean() < 25  # the last row is the picture's own


def test_interlaced_video_is_read_with_a_note(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "qscale": "2"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(striped(number, SIZE), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = inspect_rgb(at(path, 4))
    assert found.notes == ("is interlaced: both fields of a frame are read as one picture",)
    assert number_of(found.pixels) == 4
