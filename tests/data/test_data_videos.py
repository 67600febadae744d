"""Frames of videos by their numbers: none is off by one, in whatever order, and colours are those of the standards."""

import gc
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_files import number_of, striped, write_video
from vs_data import DataError
from vs_data.content import FrameOfVideo
from vs_data.pictures import inspect_rgb, read_ids, read_rgb
from vs_data.videos import index_of, read_shown, video_frames

SIZE = (32, 48)
FRAMES = 30

CONTAINERS = {
    "b-frames.mp4": ("libx264", "yuv420p", {"crf": "10", "bf": "4", "b-adapt": "0", "g": "12"}),
    "open.mov": ("libx264", "yuv420p", {"x264-params": "open-gop=1:keyint=8:bframes=3:b-adapt=0"}),
    "one-key.mkv": ("libx264", "yuv420p", {"bf": "3", "g": "250", "sc_threshold": "0"}),
    "vp8.webm": ("libvpx", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "300k", "g": "10"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"crf": "10", "lag-in-frames": "8", "g": "10"}),
    "h264.avi": ("libx264", "yuv420p", {"bf": "3", "g": "7"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"bf": "2", "qscale": "2"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "ffv1.nut": ("ffv1", "bgr0", {}),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, (codec, pixels, options) in CONTAINERS.items():
        write_video(folder / name, [striped(number, SIZE) for number in range(FRAMES)], codec, pixels, options)
    return folder


def at(path: Path, frame: int, room: int = 0) -> FrameOfVideo:
    return FrameOfVideo(video=path, frame=frame, room=room)


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_frame_is_the_one_of_its_number_and_the_one_of_the_sequence(videos, name):
    path = videos / name
    in_order = list(video_frames(path))
    assert index_of(path).count == len(in_order) == FRAMES
    for number in [*range(FRAMES), *np.random.default_rng(0).permutation(FRAMES).tolist(), 29, 28, 27, 0]:
        picture = read_rgb(at(path, number))
        assert number_of(picture) == number
        assert np.array_equal(picture, in_order[number])


@settings(max_examples=30)
@given(
    name=st.sampled_from(sorted(CONTAINERS)),
    asked=st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=12),
    room=st.sampled_from([0, SIZE[0] * SIZE[1] * 3 * 5, 2**20]),
)
def test_order_and_memory_change_no_pixel(videos, name, asked, room):
    assert [number_of(read_rgb(at(videos / name, number, room))) for number in asked] == asked


def test_times_of_any_length_are_frames_in_their_order(tmp_path):
    times = np.cumsum([0, *np.random.default_rng(3).integers(1, 90, FRAMES - 1)])
    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "3", "b-adapt": "0", "g": "9"})
        stream.height, stream.width = SIZE
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(striped(number, SIZE), format="rgb24")
            picture.pts, picture.time_base = int(time), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    index = index_of(path)
    assert index.uneven
    assert not np.array_equal(np.diff(index.times), np.full(FRAMES - 1, index.times[1]))
    assert index.times.tolist() == times.tolist()
    assert [number_of(read_rgb(at(path, number))) for number in reversed(range(FRAMES))] == list(range(FRAMES))[::-1]


def decoded_by_hand(yuv: tuple[int, int, int], matrix: tuple[float, float], *, full: bool) -> np.ndarray:
    """RGB of one colour by the formulas of BT.601 and BT.709, with the weights (red, blue) of the matrix."""
    red, blue = matrix
    luma = yuv[0] / 255 if full else (yuv[0] - 16) / 219
    cb, cr = ((value - 128) / (255 if full else 224) for value in yuv[1:])
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.array([r, g, b]) * 255, 0, 255)


BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)


def flat_yuv(
    path: Path, yuv: tuple[int, int, int], size: tuple[int, int], pixels: str = "yuv444p", **said: int
) -> Path:
    """A lossless video of one colour, whose stream says of it what is given."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        for name, value in said.items():
            setattr(stream.codec_context, name, value)
        planes = np.stack([np.full(size, value, np.uint8) for value in yuv])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        for name, value in said.items():
            setattr(frame, name, value)
        if pixels != "yuv444p":
            frame = frame.reformat(format=pixels)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("yuv", [(81, 90, 200), (145, 54, 34), (60, 180, 110), (180, 128, 128)])
@pytest.mark.parametrize(
    ("said", "size", "matrix", "full"),
    [
        ({"colorspace": 1, "color_range": 1}, (32, 48), BT709, False),
        ({"colorspace": 6, "color_range": 1}, (720, 16), BT601, False),
        ({"colorspace": 1, "color_range": 2}, (32, 48), BT709, True),
        ({"colorspace": 5, "color_range": 2}, (32, 48), BT601, True),
        ({}, (32, 48), BT601, False),
        ({}, (720, 16), BT709, False),
    ],
)
def test_colours_are_those_of_the_matrix_and_the_range(tmp_path, yuv, said, size, matrix, full):
    picture = read_rgb(at(flat_yuv(tmp_path / "a.mkv", yuv, size, **said), 0))
    assert np.abs(picture[3, 3] - decoded_by_hand(yuv, matrix, full=full)).max() < 1.5
    assert (picture == picture[0, 0]).all()


def test_ten_bits_are_scaled_to_eight(tmp_path):
    path = flat_yuv(tmp_path / "a.mkv", (81, 90, 200), SIZE, "yuv444p10le", colorspace=1, color_range=1)
    found = inspect_rgb(at(path, 0))
    assert np.abs(found.pixels[3, 3] - decoded_by_hand((81, 90, 200), BT709, full=False)).max() < 2
    assert found.notes == ("has 10 bits per channel, they are scaled to 8",)


def test_what_is_shown_brighter_than_pictures_is_refused(tmp_path):
    path = flat_yuv(tmp_path / "a.mkv", (81, 90, 200), SIZE, colorspace=9, color_range=1, color_trc=16)
    with pytest.raises(DataError, match=r"a\.mkv: is HDR video \(PQ\)"):
        read_rgb(at(path, 0))


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_video_is_turned_upright_as_it_says(tmp_path, angle):
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    flat = write_video(tmp_path / "flat.mkv", [picture] * 2, "ffv1", "bgr0")
    path = tmp_path / "turned.mkv"
    with av.open(str(flat)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(angle)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    found = inspect_rgb(at(path, 1))
    assert found.notes == ("is turned as its video says",)
    assert np.array_equal(found.pixels, np.rot90(picture, {90: 1, 180: 2, 270: 3}[angle]))


@pytest.mark.parametrize("size", [(31, 47), (33, 17)])
def test_odd_sizes_are_read_whole(tmp_path, size):
    path = write_video(tmp_path / "a.mkv", [striped(number, size) for number in range(3)], "ffv1", "yuv420p")
    assert read_rgb(at(path, 2)).shape == (*size, 3)
    assert number_of(read_rgb(at(path, 2))) == 2


def test_frames_that_an_edit_list_hides_are_not_there(tmp_path):
    whole = write_video(
        tmp_path / "whole.mp4", [striped(n, SIZE) for n in range(FRAMES)], "libx264", "yuv420p", {"bf": "0"}
    )
    path = tmp_path / "trimmed.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                shift = round(7 * 0.04 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    in_order = [number_of(picture) for picture in video_frames(path)]
    assert in_order == list(range(7, FRAMES))
    assert [number_of(read_rgb(at(path, number))) for number in range(index_of(path).count)] == in_order


def test_threads_that_ask_at_once_get_each_their_frame(videos):
    from concurrent.futures import ThreadPoolExecutor

    wanted = [number for number in range(FRAMES) for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda number: number_of(read_rgb(at(videos / "b-frames.mp4", number, 2**20))), wanted)
    assert list(found) == wanted


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_videos_that_are_kept_no_longer_are_closed_at_once(videos, tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    gc.disable()
    try:
        for number in range(20):
            path = tmp_path / f"{number}.mp4"
            path.write_bytes((videos / "b-frames.mp4").read_bytes())
            assert [number_of(read_rgb(at(path, frame))) for frame in (3, 0)] == [3, 0]
        assert len(list(Path("/proc/self/fd").iterdir())) - before <= 16
    finally:
        gc.enable()


def test_threads_that_ask_for_more_videos_than_are_kept_open_get_each_their_frame(videos, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    paths = [tmp_path / f"{number}.mp4" for number in range(24)]
    for path in paths:
        path.write_bytes((videos / "b-frames.mp4").read_bytes())
    wanted = [(path, frame) for frame in (2, 1, 4) for path in paths]
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda job: number_of(read_rgb(at(*job))), wanted))
    assert found == [frame for _, frame in wanted]


def test_a_frame_that_was_kept_cannot_be_changed_by_who_gets_it(videos):
    picture = read_rgb(at(videos / "ffv1.nut", 3, 2**20))
    with pytest.raises(ValueError, match="read-only"):
        picture[0] = 0


def test_damage_is_one_line_with_the_frame_and_reading_goes_on_elsewhere(tmp_path):
    frames = [np.random.default_rng(number).integers(0, 256, (*SIZE, 3)).astype(np.uint8) for number in range(20)]
    path = write_video(tmp_path / "a.mov", frames, "png", "rgb24")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    middle = packets[10].pos + packets[10].size // 2
    data[middle : middle + 16] = bytes(16)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.mov: frame 10 ") as caught:
        read_rgb(at(path, 10))
    assert "\n" not in str(caught.value)
    assert np.array_equal(read_rgb(at(path, 9)), frames[9])
    assert np.array_equal(read_rgb(at(path, 15)), frames[15])


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_video_is_found_by_its_index(tmp_path, share):
    frames = [np.random.default_rng(number).integers(0, 35, SIZE).astype(np.uint8) for number in range(20)]
    path = write_video(tmp_path / "a.mkv", frames, "ffv1", "gray")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"a\.mkv: ends after frame \d+, before its last; copy it again"):
        index_of(path)


def test_a_last_frame_that_is_shown_long_is_no_sign_of_a_file_that_is_cut_off(tmp_path):
    """As in recordings of screens, of uneven rate."""
    path, times = tmp_path / "a.mkv", (0, 40, 80, 1080, 1120)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, time_base=Fraction(1, 1000))
        stream.height, stream.width, stream.pix_fmt = *SIZE, "bgr0"
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(striped(number, SIZE), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            for packet in stream.encode(frame):
                packet.duration = 2000 if time == times[-1] else 0
                container.mux(packet)
        container.mux(stream.encode(None))
    assert index_of(path).seconds.tolist() == [time / 1000 for time in times]
    assert [number_of(picture) for picture in video_frames(path)] == list(range(len(times)))


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    path = write_video(tmp_path / "a.mkv", [striped(1, SIZE)] * 3, "ffv1", "bgr0")
    assert number_of(read_rgb(at(path, 2, 2**20))) == 1
    write_video(path, [striped(2, SIZE)] * 4, "ffv1", "bgr0")
    assert number_of(read_rgb(at(path, 2, 2**20))) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"a\.mp4: is not a regular file; expected a video"):
        index_of(tmp_path / "a.mp4")


def test_a_frame_that_is_not_there_is_said(videos):
    with pytest.raises(DataError, match=r"vp9\.webm: has no frame 30 \(counted from 0\), but 30 frames"):
        read_shown(at(videos / "vp9.webm", FRAMES))


def test_ids_are_read_from_lossless_videos_alone(videos, tmp_path):
    ids = np.random.default_rng(0).integers(0, 35, (4, *SIZE)).astype(np.uint8)
    path = write_video(tmp_path / "a.mkv", list(ids), "ffv1", "gray")
    assert [np.array_equal(read_ids(at(path, frame)), ids[frame]) for frame in (2, 0, 3, 1)] == [True] * 4
    assert np.array_equal(read_rgb(at(path, 1)), np.stack([ids[1]] * 3, axis=-1))
    with pytest.raises(DataError, match="is encoded as h264, which changes levels"):
        read_ids(at(videos / "b-frames.mp4", 0))
