"""Networks that tell x and y of points apart, by the command."""

import json

import numpy as np
from onnx_files import profiles
from test_extract_folders import run
from video_files import write_video


def test_points_whose_x_and_y_are_apart_go_the_whole_way(tmp_path, capsys):
    frames = [np.zeros((48, 80, 3), np.uint8) for _ in range(4)]
    for number, frame in enumerate(frames):
        frame[10 + number, 20 + 2 * number, 0] = frame[30, 50 - number, 1] = frame[5, 5, 2] = 255
    video = write_video(tmp_path / "clip.mkv", frames, "ffv1", "bgr0")
    network = profiles(tmp_path / "pose.onnx", (48, 80), 2)
    command = ("extract", video, "--model", network, "--kind", "keypoints", "--out", tmp_path / "data")
    status, output, errors = run(capsys, *command)
    assert status == 0, errors
    assert "no built-in skeleton has 3 points: say yours in the configuration of the kind, as `own`" in output
    written = sorted((tmp_path / "data" / "keypoints" / "clip").iterdir())
    assert [json.loads(path.read_text()) for path in written] == [
        [[20 + 2 * number, 10 + number, 1], [50 - number, 30, 1], [5, 5, 1]] for number in range(4)
    ]
