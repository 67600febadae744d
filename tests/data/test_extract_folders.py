"""The command `extract`: labels beside frames, as `check` and training read them, whole or not at all."""

import json
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from exported_files import Mix, save
from onnx_files import constant, mixing, searching
from video_files import number_of, striped, write_video
from vs_data import (
    ClipRequest,
    FlowFilesConfig,
    FolderConfig,
    ImageConfig,
    KeypointsConfig,
    NetworkFlowConfig,
    NoFlowConfig,
    SegMapsConfig,
    VideoConfig,
    check_folder,
    open_source,
)
from vs_data.cli import main
from vs_data.extract import OutputOptions
from vs_data.extract.places import find_place
from vs_data.extract.run import Wanted, extract_labels

GREY = [[0.25, 0.5, 0.25]]


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def checked(capsys, output: str) -> str:
    """The last line of what `extract` prints is a command that finds nothing wrong."""
    line = output.strip().splitlines()[-1].removeprefix("look at them with: ")
    words = shlex.split(line)
    assert words[:3] == ["hatch", "run", "data:check"]
    status, found, errors = run(capsys, "check", *words[3:])
    begun = {"opening", "checking"}  # of videos it says how far they have been read
    assert (status, set(errors.splitlines()) - begun) == (0, set()), found
    return found


def colour_network(path: Path, colours: np.ndarray) -> Path:
    """Logits whose largest is that of the class whose colour is nearest: 2 c.x - |c|^2."""
    unit = colours.astype(np.float64) / 255
    return mixing(path, (2 * unit).tolist(), (-(unit**2).sum(axis=1)).tolist())


def test_seg_maps_of_colours_are_the_true_ones(folder, colours, tmp_path, capsys):
    root = folder({"a": 5, "b": 2}, size=(45, 77))
    network = colour_network(tmp_path / "seg.onnx", colours[:12])
    status, output, errors = run(capsys, "extract", root, "--model", network, "--kind", "seg_maps", "--folder", "mine")
    assert (status, errors) == (0, "")
    assert "7 labels of 2 sequences" in output
    assert "12 classes: 0 to 11" in output
    for path in (root / "seg_maps").rglob("*.png"):
        made = cv2.imread(str(root / "mine" / path.relative_to(root / "seg_maps")), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(made, cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    assert "0 errors, 0 warnings" in checked(capsys, output)


def test_depth_is_read_as_it_was_written(folder, tmp_path, capsys):
    root = folder({"a": 3})
    network, program = mixing(tmp_path / "grey.onnx", GREY), save(tmp_path / "grey.pt2", Mix(GREY), 1)
    plain, ranged = ("--kind", "depth"), ("--kind", "depth", "--folder", "short", "--value-range", 0, 1)
    for model, options in ((network, plain), (program, ranged)):
        status, output, _ = run(capsys, "extract", root, "--model", model, *options)
        assert status == 0
        assert "0 errors" in checked(capsys, output)
    assert files_in(root / "depth") == [".extract.json", "a/0000.npy", "a/0001.npy", "a/0002.npy"]
    assert cv2.imread(str(root / "short" / "a" / "0001.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    kinds = (ImageConfig(folder="depth", channels=1, minimum=0.0, maximum=1.0), ImageConfig(folder="short", channels=1))
    config = FolderConfig(root=str(root), height=48, width=80, labels=kinds, flow=NoFlowConfig())
    clip = open_source(config, "val").read(ClipRequest(sequence=0, start=0, length=3))
    wanted = ((clip.frames + 1) * 0.5).numpy() * np.array(GREY[0], np.float32).reshape(3, 1, 1)
    for kind in ("depth", "short"):
        np.testing.assert_allclose(clip.labels[kind].numpy(), 2 * wanted.sum(axis=1, keepdims=True) - 1, atol=1e-4)


def test_pictures_of_bytes_stay_what_they_are(folder, tmp_path, capsys):
    root = folder({"a": 2})
    program = pass_on(tmp_path, "frame")
    status, output, _ = run(capsys, "extract", root, "--program", program, "--kind", "image")
    assert status == 0
    for path in (root / "images").rglob("*.png"):
        made = cv2.imread(str(root / "image" / path.relative_to(root / "images")))
        np.testing.assert_array_equal(made, cv2.imread(str(path)))
    assert "0 errors" in checked(capsys, output)


def test_keypoints_are_read_and_drawn_where_they_are(folder, tmp_path, capsys):
    root = folder({"a": 2})
    rows = np.random.default_rng(0).uniform(0.1, 0.9, (17, 3)).astype(np.float32)
    network = constant(tmp_path / "pose.onnx", rows, {"x": ("n", 3, 32, 32)})
    options = ("--kind", "keypoints", "--units", "normalised")
    status, output, _ = run(capsys, "extract", root, "--model", network, *options)
    assert status == 0
    assert "17 points; 0 of 2 frames without anybody" in output
    written = np.array(json.loads((root / "keypoints" / "a" / "0001.json").read_text()))
    np.testing.assert_allclose(written[:, :2], rows[:, :2] * (80, 48) - 0.5, atol=1e-3)
    checked(capsys, output)
    kinds = (KeypointsConfig(folder="keypoints", skeleton="coco17"),)
    config = FolderConfig(root=str(root), height=48, width=80, labels=kinds, flow=NoFlowConfig())
    drawn = open_source(config, "val").read(ClipRequest(sequence=0, start=0, length=2)).labels["keypoints"]
    assert drawn.max() > 0.5


def test_frames_without_anybody_are_counted_and_read(folder, tmp_path, capsys):
    root = folder({"a": 3})
    network = constant(tmp_path / "none.onnx", np.zeros((17, 3), np.float32), {"x": ("n", 3, 32, 32)})
    options = ("--kind", "keypoints", "--units", "pixels")
    status, output, _ = run(capsys, "extract", root, "--model", network, *options)
    assert status == 0
    assert "3 of 3 frames without anybody" in output
    assert (root / "keypoints" / "a" / "0000.json").read_text() == "[]"
    assert "nobody was found in any frame" in output
    config = FolderConfig(root=str(root), labels=(KeypointsConfig(folder="keypoints", skeleton="coco17"),))
    assert check_folder(config).errors == ()


def test_landmarks_are_pairs_and_a_face_is_needed(folder, face_points, tmp_path, capsys):
    root = folder({"a": 2})
    points = face_points().astype(np.float32)
    network = constant(tmp_path / "face.onnx", points.reshape(-1), {"x": ("n", 3, 48, 80)})
    options = ("--kind", "landmarks-dlib68", "--units", "pixels", "--points", 68)
    status, output, _ = run(capsys, "extract", root, "--model", network, *options)
    assert status == 0
    np.testing.assert_allclose(json.loads((root / "landmarks-dlib68/a/0000.json").read_text()), points, atol=1e-3)
    checked(capsys, output)
    network = constant(tmp_path / "few.onnx", points[:5], {"x": ("n", 3, 48, 80)})
    status, _, errors = run(capsys, "extract", root, "--model", network, *options[:4], "--folder", "few")
    assert status == 2
    assert "frame 0000 has 5 landmarks, 68 are needed in every frame" in errors


def test_flow_is_that_of_all_frames_but_the_first(folder, tmp_path, capsys):
    root = folder({"a": 4})
    network = searching(tmp_path / "flow.onnx")
    status, output, _ = run(capsys, "extract", root, "--model", network, "--kind", "flow")
    assert status == 0
    assert files_in(root / "flow") == [".extract.json", "a/0001.npz", "a/0002.npz", "a/0003.npz"]
    assert "% of it leads there and back, and is trusted" in output
    assert "0 errors, 0 warnings" in checked(capsys, output)
    teachers = FlowFilesConfig(), NetworkFlowConfig(path=str(network))
    configs = [FolderConfig(root=str(root), height=48, width=80, flow=teacher) for teacher in teachers]
    clip, same = (open_source(config, "val").read(ClipRequest(sequence=0, start=0, length=3)) for config in configs)
    assert np.array_equal(clip.flow, same.flow)  # as the network itself teaches them
    assert np.array_equal(clip.flow_confidence, same.flow_confidence)
    inner = clip.flow_confidence[1:, 0, 6:-6, 6:-6] > 0
    assert (clip.flow[1:, 0, 6:-6, 6:-6][inner] == -2).all()  # which is the true motion of these pictures
    assert inner.any()


def moving(tmp_path: Path, count: int = 6) -> Path:
    return write_video(tmp_path / "clip.mkv", [striped(number, (36, 50)) for number in range(count)], "ffv1", "bgr0")


@pytest.mark.parametrize("form", ["png", "jpg", "video"])
def test_a_video_becomes_a_data_folder(tmp_path, capsys, form):
    video, network = moving(tmp_path), mixing(tmp_path / "grey.onnx", GREY)
    root = tmp_path / "made" / "data"
    options = ("--kind", "depth", "--value-range", 0, 1, "--out", root, "--frames", form)
    status, output, errors = run(capsys, "extract", video, "--model", network, *options)
    assert (status, errors) == (0, "")
    assert "0 errors" in checked(capsys, output)
    config = FolderConfig(
        root=str(root), height=36, width=50, labels=(ImageConfig(folder="depth", channels=1),), flow=NoFlowConfig()
    )
    clip = open_source(config, "val").read(ClipRequest(sequence=0, start=0, length=6))
    pictures = ((clip.frames + 1) * 127.5).round().numpy().transpose(0, 2, 3, 1)
    assert [number_of(picture) for picture in pictures] == list(range(6))
    maps = ((clip.labels["depth"] + 1) * 127.5).numpy().repeat(3, axis=1).transpose(0, 2, 3, 1)
    assert [number_of(picture) for picture in maps] == list(range(6))


def test_more_labels_of_a_video_are_those_of_its_sequence(tmp_path, capsys):
    video, grey = moving(tmp_path), mixing(tmp_path / "grey.onnx", GREY)
    red, root = mixing(tmp_path / "red.onnx", [[1, 0, 0]]), tmp_path / "data"
    options = ("--kind", "depth", "--out", root)
    assert run(capsys, "extract", video, "--model", grey, *options, "--frames", "jpg")[0] == 0
    before = files_in(root)
    assert run(capsys, "extract", video, "--model", red, *options, "--folder", "red")[0] == 0
    assert [name for name in files_in(root) if not name.startswith("red/")] == before
    assert len(files_in(root / "red" / "clip")) == 6
    write_video(video, [striped(number + 3, (36, 50)) for number in range(6)], "ffv1", "bgr0")
    status, _, errors = run(capsys, "extract", video, "--model", red, *options)
    assert status == 2
    assert "images/clip: shows something else than the video of that name" in errors


def test_a_video_stays_where_it_is(tmp_path, capsys):
    video, network = moving(tmp_path), mixing(tmp_path / "grey.onnx", GREY)
    status, output, errors = run(capsys, "extract", video, "--model", network, "--kind", "depth", "--value-range", 0, 1)
    assert (status, errors) == (0, "")
    assert len(files_in(tmp_path / "depth" / "clip")) == 6
    assert "0 errors" in checked(capsys, output)
    config = VideoConfig(root=str(video), labels=(ImageConfig(folder="depth", channels=1),))
    assert check_folder(config).errors == ()


def test_videos_of_a_data_folder_are_labelled(tmp_path, capsys):
    (tmp_path / "data" / "images").mkdir(parents=True)
    moving(tmp_path).rename(tmp_path / "data" / "images" / "a.mkv")
    network = mixing(tmp_path / "grey.onnx", GREY)
    status, output, _ = run(capsys, "extract", tmp_path / "data", "--model", network, "--kind", "depth")
    assert status == 0
    assert len(files_in(tmp_path / "data" / "depth" / "a")) == 6
    checked(capsys, output)
    video = tmp_path / "data" / "images" / "a.mkv"
    status, _, errors = run(capsys, "extract", video, "--model", network, "--kind", "depth")
    assert status == 2
    assert "give the folder that images/ is in" in errors


def test_what_was_interrupted_is_gone_on_with(folder, tmp_path, capsys):
    root, network = folder({"a": 3, "b": 3}), mixing(tmp_path / "grey.onnx", GREY)
    bad = root / "images" / "b" / "0002.png"
    good = bad.read_bytes()
    bad.write_bytes(b"bad")
    command = ("extract", root, "--model", network, "--kind", "depth")
    status, _, errors = run(capsys, *command)
    assert status == 2
    assert "b/0002.png: not a readable picture" in errors
    assert [path.name for path in (root / "depth").iterdir() if not path.is_file()] == ["a"]
    before = (root / "depth" / "a" / "0000.npy").stat().st_mtime_ns
    bad.write_bytes(good)
    status, output, _ = run(capsys, *command)
    assert status == 0
    assert "3 labels of 1 sequence in" in output
    assert "1 sequence had labels already" in output
    assert (root / "depth" / "a" / "0000.npy").stat().st_mtime_ns == before
    assert "0 errors" in checked(capsys, output)  # by the range of both
    status, output, _ = run(capsys, *command)
    assert (status, "0 labels of 0 sequences" in output) == (0, True)


def test_labels_that_were_made_otherwise_are_left_alone(folder, tmp_path, capsys):
    root, network = folder({"a": 2}), mixing(tmp_path / "grey.onnx", GREY)
    command = ("extract", root, "--model", network, "--kind", "depth")
    assert run(capsys, *command)[0] == 0
    before = files_in(root)
    for options, what in (
        (("--colours", "bgr"), "made otherwise: colours"),
        (("--folder", "seg_maps"), "were not made by this command"),
    ):
        status, _, errors = run(capsys, *command, *options)
        assert status == 2
        assert what in errors
    (root / "depth" / ".extract.json").write_text('{"made_by": 3}')
    assert "is no record of this command" in run(capsys, *command)[2]
    assert files_in(root) == before


def test_labels_of_other_frames_are_not_taken_for_theirs(folder, tmp_path, capsys):
    root, network = folder({"a": 3}), mixing(tmp_path / "grey.onnx", GREY)
    command = ("extract", root, "--model", network, "--kind", "depth")
    assert run(capsys, *command)[0] == 0
    (root / "images" / "a" / "0002.png").unlink()
    status, _, errors = run(capsys, *command)
    assert status == 2
    assert "holds 3 files that are not of these 2 frames" in errors


def test_nothing_is_left_of_what_failed_at_once(tmp_path, capsys):
    video, network = moving(tmp_path), mixing(tmp_path / "grey.onnx", GREY)
    before = files_in(tmp_path)
    command = ("extract", video, "--model", network, "--kind", "seg_maps", "--out", tmp_path / "new" / "data")
    status, _, errors = run(capsys, *command)
    assert status == 2
    assert len(errors.splitlines()) == 1
    assert files_in(tmp_path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--kind", "depth"), "one of both"),
        (("--kind", "depth", "--model", "m.onnx", "--program", "p"), "one of both"),
        (("--kind", "pose", "--model", "m.onnx"), "--kind: expected"),
        (("--model", "m.onnx"), "expected SOURCE and --kind"),
        (("--kind", "depth", "--model", "m.onnx", "--batch", "1.5"), "--batch: expected a whole number"),
        (("--kind", "depth", "--model", "m.onnx"), "m.onnx: cannot be read"),
        (("--kind", "depth", "--model", "GREY", "--folder", "a/b"), "folder: expected the name of a folder"),
        (("--kind", "depth", "--model", "GREY", "--value-range", "1", "0"), "--value-range: expected a lower"),
        (("--kind", "seg_maps", "--model", "GREY", "--value-range", "0", "1"), "--value-range: seg_maps have none"),
        (("--kind", "depth", "--model", "GREY", "--threshold", "0"), "--threshold: depth have none"),
        (("--kind", "depth", "--model", "GREY", "--folder", "images"), "--folder"),
        (("--out", "o", "--kind", "depth", "--model", "GREY"), "--out is for videos"),
        (("--kind", "depth", "--program", "/no/such/program"), "--program: no program that can be started"),
        (("--kind", "depth", "--program", "'"), "--program: No closing quotation"),
        (("--inspect", "--program", "cat"), "--inspect looks into a model"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(folder, tmp_path, capsys, options, what):
    root = folder({"a": 2})
    network = mixing(tmp_path / "grey.onnx", GREY)
    before = files_in(tmp_path)
    status, _, errors = run(capsys, "extract", root, *(network if word == "GREY" else word for word in options))
    assert status == 2
    assert what in errors
    assert len(errors.splitlines()) == 1
    assert files_in(tmp_path) == before


def test_a_source_that_is_not_there_is_told(tmp_path, capsys):
    network = mixing(tmp_path / "grey.onnx", GREY)
    status, _, errors = run(capsys, "extract", tmp_path / "no.mp4", "--model", network, "--kind", "depth")
    assert (status, errors) == (2, f"vs-data: {tmp_path}/no.mp4: there is no such data folder or video\n")


@pytest.mark.parametrize("out", ["file", "file/below/it"])
def test_a_file_in_the_place_of_the_data_folder_is_told(tmp_path, capsys, out):
    network = mixing(tmp_path / "grey.onnx", GREY)
    video = write_video(tmp_path / "clip.mp4", [striped(0, (32, 48))] * 2, "libx264", "yuv420p")
    (tmp_path / "file").write_text("x")
    before = files_in(tmp_path)
    status, _, errors = run(capsys, "extract", video, "--model", network, "--kind", "depth", "--out", tmp_path / out)
    assert (status, len(errors.splitlines())) == (2, 1)
    assert f"{tmp_path / 'file'}: is not a folder; choose another --out" in errors
    assert files_in(tmp_path) == before


def test_what_goes_in_and_out_is_listed(tmp_path, capsys):
    network = mixing(tmp_path / "grey.onnx", GREY, shape=("n", 3, 32, 64))
    status, output, _ = run(capsys, "extract", "--inspect", "--model", network)
    assert status == 0
    assert output.splitlines() == ["input   x float32 (?, 3, 32, 64)", "output  out float32 (?, 1, 32, 64)"]


PROGRAM = """
import json, sys
import numpy as np
height, width, what = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
number = 0
while frame := sys.stdin.buffer.read(height * width * 3):
    picture = np.frombuffer(frame, np.uint8).reshape(height, width, 3)
    number += 1
    if what == "frame":
        sys.stdout.buffer.write(frame)
    elif what == "points":
        print(json.dumps([[int(picture[0, 0, 0]) / 4, number, 0.5]] * 17 if number > 1 else []), flush=True)
    elif what == "red":
        sys.stdout.buffer.write(picture[..., 0].astype("<f4").tobytes())
    elif what == "flow" and number > 1:
        sys.stdout.buffer.write(np.full((2, height, width), number, "<f4").tobytes())
    elif what == "few" and number == 2:
        sys.exit("lost\\x1b its way")
    elif what == "words":
        print("no points")
    elif what == "sleep":
        import time
        time.sleep(60)
    elif what == "fail":
        sys.stdout.buffer.write(frame[::3])
if what == "fail":
    sys.exit(7)
if what == "many":
    sys.stdout.buffer.write(bytes(height * width * 10))
"""


def pass_on(tmp_path: Path, what: str) -> str:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    return shlex.join([sys.executable, str(script), "{height}", "{width}", what])


def test_points_of_a_program_are_written_as_they_are(folder, tmp_path, capsys):
    root = folder({"a": 3})
    status, output, _ = run(capsys, "extract", root, "--program", pass_on(tmp_path, "points"), "--kind", "keypoints")
    assert status == 0
    assert "1 of 3 frames without anybody" in output
    first = cv2.imread(str(root / "images" / "a" / "0002.png"))[0, 0, 2]
    assert json.loads((root / "keypoints" / "a" / "0002.json").read_text()) == [[round(first / 4, 3), 3, 0.5]] * 17
    checked(capsys, output)


def test_numbers_of_a_program_are_those_of_its_frames(folder, tmp_path, capsys):
    root = folder({"a": 3})
    assert run(capsys, "extract", root, "--program", pass_on(tmp_path, "red"), "--kind", "depth")[0] == 0
    picture = cv2.imread(str(root / "images" / "a" / "0002.png"))
    np.testing.assert_array_equal(np.load(root / "depth" / "a" / "0002.npy"), picture[..., 2])
    status, output, _ = run(capsys, "extract", root, "--program", pass_on(tmp_path, "flow"), "--kind", "flow")
    assert status == 0
    assert "nobody says where it is to be trusted" in output
    with np.load(root / "flow" / "a" / "0002.npz") as arrays:
        assert list(arrays) == ["flow"]
        assert (arrays["flow"] == 3).all()


@pytest.mark.parametrize(
    ("does", "kind", "options", "what"),
    [
        ("few", "seg_maps", (), r"the program ended before label 1 of 3 of a with status 1: lost\x1b its way"),
        ("words", "keypoints", (), r"line 1 is no list of points: no points; see the protocol"),
        ("fail", "seg_maps", (), "the program failed with status 7"),
        ("many", "seg_maps", (), "the program writes more than 3 labels for a"),
        ("sleep", "seg_maps", ("--timeout", "0.4"), "was ended: nothing was heard of it for 0.4 s before label 1 of 3"),
    ],
)
def test_a_bad_program_is_one_line_and_leaves_nothing(folder, tmp_path, capsys, does, kind, options, what):
    root, program = folder({"a": 3}), pass_on(tmp_path, does)
    before = files_in(tmp_path)
    command = ("extract", root, "--program", program, "--kind", kind, "--folder", "mine", *options)
    status, _, errors = run(capsys, *command)
    assert status == 2
    assert what in errors
    assert len(errors.splitlines()) == 1
    assert files_in(tmp_path) == before


def test_a_bad_frame_is_told_rather_than_what_the_program_makes_of_it(folder, tmp_path, capsys):
    root = folder({"a": 3})
    cv2.imwrite(str(root / "images" / "a" / "0001.png"), np.zeros((40, 80, 3), np.uint8))
    status, _, errors = run(capsys, "extract", root, "--program", pass_on(tmp_path, "frame"), "--kind", "image")
    assert status == 2
    assert "0001.png: is 80x40 pixels, the first frame is 80x48" in errors
    assert not (root / "image").exists()


def test_a_program_may_end_before_it_has_all_frames(tmp_path, capsys):
    # It writes all labels without looking at frames; those of the video are brought to the folder none the less.
    video = moving(tmp_path)
    program = shlex.join([sys.executable, "-c", "import sys; sys.stdout.buffer.write(bytes(36 * 50 * 6))"])
    options = ("--kind", "seg_maps", "--out", tmp_path / "data")
    status, output, _ = run(capsys, "extract", video, "--program", program, *options)
    assert status == 0
    assert len(files_in(tmp_path / "data" / "images" / "clip")) == 6
    checked(capsys, output)


def test_an_interrupt_leaves_whole_sequences(folder, tmp_path):
    root = folder({"a": 2, "b": 2})
    place = find_place(root, None, "png", "name")

    def label(frames, task):
        for number, frame in enumerate(frames):
            if task.sequence == "b" and number == 1:
                raise KeyboardInterrupt
            yield np.zeros(frame.shape[:2], np.uint16)

    wanted = Wanted(kind="seg_maps", folder="mine", options=OutputOptions(), made_by={})
    with pytest.raises(KeyboardInterrupt):
        extract_labels(place, label, wanted)
    assert files_in(root / "mine") == [".extract.json", "a/0000.png", "a/0001.png"]
    labels = (SegMapsConfig(folder="mine"),)
    assert [finding.what for finding in check_folder(FolderConfig(root=str(root), labels=labels)).errors] != []


def test_frames_are_streamed(folder, tmp_path):
    """At no time are more frames waiting for their labels than a batch."""
    place = find_place(folder({"a": 9}), None, "png", "name")
    waiting = []

    def label(frames, task):
        for number, frame in enumerate(frames):
            waiting.append(number - len(list((place.root / "mine").glob(".a.unfinished/*"))))
            yield np.zeros(frame.shape[:2], np.uint16)

    extract_labels(place, label, Wanted(kind="seg_maps", folder="mine", options=OutputOptions(), made_by={}))
    assert max(waiting) == 0
    assert len(waiting) == 9


def test_a_program_is_ended_when_its_label_cannot_be_written(tmp_path, capsys):
    video = moving(tmp_path, 30)
    program = "import sys, time; sys.stdout.write('[[NaN, 1]]\\n'); sys.stdout.flush(); time.sleep(60)"
    options = ("--kind", "keypoints", "--out", tmp_path / "data")
    status, _, errors = run(
        capsys, "extract", video, "--program", shlex.join([sys.executable, "-c", program]), *options
    )
    assert status == 2
    assert "frame 000000 holds numbers that are not finite" in errors
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("level", "what"), [(2e9, "beyond all that is read"), (3.5, "values from 3.5 to 3.5")])
def test_depth_that_is_the_same_everywhere_or_far_too_large(folder, tmp_path, capsys, level, what):
    root = folder({"a": 2})
    network = constant(tmp_path / "far.onnx", np.full((8, 8), level, np.float32), {"x": ("n", 3, 48, 80)})
    status, output, errors = run(capsys, "extract", root, "--model", network, "--kind", "depth")
    assert what in output + errors
    assert status == (2 if level > 1e9 else 0)
    if status == 0:
        checked(capsys, output)
