import base64
import json
import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_runs import FEW_SHOT, STREET, make_run
from vs_data import FolderConfig, StreetConfig, open_source, write_folder
from vs_eval.drift.command import drift_table
from vs_eval.drift.curves import FIRST, combined_rows, curves_of, drift_of, running_mean, stays_from
from vs_eval.drift.sources import back_and_forth, lengthened, moving_sequences
from vs_metrics import Average
from vs_metrics.features import AlexLpipsConfig, save_features
from vs_metrics.features.weights import build
from vs_synthesis import read_run, write_model
from vs_training.quality.measures import measure_of

MODELS = Path(__file__).parents[2] / "models"


def drift_of_psnr(values: list[float]):
    rows = [{"psnr/generated": Average(total=value, weight=1.0)} for value in values]
    return drift_of(measure_of("psnr/generated"), curves_of(rows), ())


def wobble(frames: int) -> list[float]:
    return [20.0 + (-1) ** index for index in range(frames)]


def test_what_stays_as_it_was_does_not_leave_its_band():
    found = drift_of_psnr(wobble(200))
    assert (found.mean, found.deviation, found.leaves) == (20.0, 1.0, None)
    assert found.band == (18.0, 22.0)


def test_what_falls_leaves_the_band_when_the_mean_of_30_frames_is_below_it():
    """It falls by 6 dB at frame 100: 11 of 30 frames must be lower for a mean that is more than 2 dB lower."""
    values = wobble(100) + [value - 6 for value in wobble(100)]
    found = drift_of_psnr(values)
    assert found.leaves == 100 + FIRST // 3
    assert found.last == 14.0


def test_a_short_dip_is_no_drift_and_frames_without_a_value_at_the_end_are():
    values = wobble(100) + [0.0] * 20 + wobble(100)
    dip = drift_of_psnr(values)
    assert (dip.leaves, dip.above) == (None, ())
    # Frames 73 to 102 sum up to 14 * 19 + 13 * 21 + 3 * 0 = 539, less than 18 each; 117 to 146 to 14 * 21 + 13 * 19.
    assert dip.below == tuple(range(102, 146))
    assert drift_table([dip], 220).rows[0][3:] == ("worse in 20%, first at 102", "stays")
    assert drift_of_psnr(wobble(100) + [math.nan] * 100).leaves == 129  # a mean of what there still is, till then
    assert drift_of_psnr([math.nan] * 40 + wobble(100)) is None


@pytest.mark.parametrize("value", [0.1, 1 / 3, 7.77])
def test_what_never_changes_stays_in_its_band_of_no_width(value):
    assert drift_of_psnr([value] * 1000).leaves is None


@pytest.mark.parametrize("name", ["psnr", "warping"])
def test_frames_without_values_are_neither_better_nor_worse(name):
    rows = [{f"{name}/generated": Average(total=value, weight=1.0)} for value in wobble(100) + [math.nan] * 60]
    found = drift_of(measure_of(name), curves_of(rows), ())
    assert drift_table([found], 160).rows[0][2:] == ("–", "–", "frame 129, no values from there on")


@given(values=st.lists(st.floats(-100, 100) | st.just(math.nan), min_size=1, max_size=60), window=st.integers(1, 40))
def test_a_running_mean_is_that_of_the_last_values(values, window):
    expected = [
        np.mean([value for value in values[max(0, end - window) : end] if math.isfinite(value)] or [math.nan])
        for end in range(1, len(values) + 1)
    ]
    np.testing.assert_allclose(running_mean(np.array(values), window), expected, atol=1e-9)


def test_what_is_true_from_somewhere_on_to_the_end():
    assert stays_from(np.array([True, False, True, True])) == 2
    assert stays_from(np.array([True, True])) == 0
    assert stays_from(np.array([True, False])) is None


def test_clips_are_put_together_frame_by_frame_and_first_frames_are_frames():
    long = [{"first_psnr/generated": Average(total=10.0, weight=1.0)}, {"psnr/generated": Average(total=9.0, weight=1)}]
    short = [{"first_psnr/generated": Average(total=30.0, weight=1.0)}]
    curves = curves_of(combined_rows([long, short]))
    assert curves["psnr/generated"].tolist() == [20.0, 9.0]


def test_a_sequence_is_turned_at_its_ends_and_moves_as_it_should_where_it_runs_forwards(town):
    """The world moves by as much every frame: where a frame is in it tells which frame it is."""
    source = town(4)
    frames = source.read_all(0).frames
    clips = list(back_and_forth(source, 0, 11))
    shown = [next(k for k in range(4) if torch.equal(clip.frames[0], frames[k])) for clip in clips]
    assert shown == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
    trusted = [bool(clip.flow_confidence.any()) for clip in clips]
    assert trusted == [False, True, True, True, False, False, False, True, True, True, False]
    assert [len(clip.frames) for clip in clips] == [1] * 11


def test_worlds_go_on_and_the_moving_sequences_come_first(town):
    assert lengthened(StreetConfig(sequence_length=30), 1000).sequence_length == 1000
    assert lengthened(StreetConfig(sequence_length=2000), 1000).sequence_length == 2000
    assert moving_sequences(town(3, 5, 1, 5), 3) == [1, 3, 0]
    assert moving_sequences(town(1), 3) == []


def test_the_command_writes_curves_a_picture_and_a_page(tmp_path, run_command):
    make_run(tmp_path / "run", STREET)
    network = save_features(tmp_path / "lpips.safetensors", build(AlexLpipsConfig(divisor=32)))
    command = "drift run --frames 33 --device cpu --features"
    status, out, err = run_command(*command.split(), network.name)
    assert (status, err) == (0, "")
    report = tmp_path / "run" / "eval" / "drift-step-00000003"
    names = sorted(path.name for path in report.iterdir())
    assert names == ["drift.json", "drift.png", "frames.png", "label-reader.safetensors", "report.html"]
    found = json.loads((report / "drift.json").read_text())
    assert found["frames"] == 33
    options = "--checkpoint 3 --device cpu --clips 1 --frames 33 --features lpips.safetensors"
    assert found["command"] == f"hatch run eval:drift run {options}"
    psnr = found["drift"]["psnr"]
    assert len(psnr["generated"]) == len(psnr["running_mean"]) == 33
    assert psnr["mean"] == pytest.approx(np.mean(psnr["generated"][:30]))
    assert found["drift"]["warping"]["beside"]["real"][0] is None  # nothing precedes the first frame
    assert {"lpips", "tlp", "label_iou", "label_accuracy", "flicker"} <= found["drift"].keys()
    agreement = found["drift"]["label_iou"]
    assert agreement["generated"][8] is None
    assert all(0 <= value <= 1 for value in (*agreement["generated"][9:], agreement["beside"]["real"][-1]))
    assert len(found["drift"]["psnr"]["beside"]["class_mean"]) == 33
    assert found["measures"]["label_iou"]["needs"] == "10 frames of a clip"
    assert "leaves it for good" in out
    page = (report / "report.html").read_text()
    assert "Over 33 frames, step 3" in page
    assert base64.b64encode((report / "frames.png").read_bytes()).decode() in page
    assert page.count("mean of the first 30 frames ± 2 sd") == page.count("<svg") == len(found["drift"])
    assert "PSNR, dB ↑, frame 0 to 32: mean colour of each class from" in page
    assert str(tmp_path) not in page


def drifted(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "drift.json").read_text())


def test_a_few_shot_run_drifts_from_one_reference(tmp_path, run_command):
    make_run(tmp_path / "run", FEW_SHOT)
    status, _, err = run_command("drift", "run", "--frames", "33", "--device", "cpu", "--no-agreement")
    assert status == 0
    assert err == ""
    found = drifted(tmp_path / "run" / "eval" / "drift-step-00000003")
    assert found["command"].startswith("hatch run eval:drift run --checkpoint 3")
    assert {"psnr", "head_psnr", "colour", "warping", "epe"} <= found["drift"].keys()
    psnr = found["drift"]["psnr"]
    assert [at for at, value in enumerate(psnr["generated"]) if value is None] == [33 // 2]  # the frame that is shown
    assert set(psnr["beside"]) == {"repeated"}
    page = (tmp_path / "run" / "eval" / "drift-step-00000003" / "report.html").read_text()
    assert "the reference, repeated" in page or "reference repeated" in page


def test_a_model_drifts_as_its_run_does_and_its_report_lies_beside_it(tmp_path, run_command, everything_below):
    make_run(tmp_path / "run", STREET)
    write_model(tmp_path / "model", read_run(tmp_path / "run"))
    before = everything_below(tmp_path / "model")
    options = ("--frames", "31", "--device", "cpu", "--no-agreement")
    for what in ("run", "model"):
        status, out, err = run_command("drift", what, *options)
        assert (status, err) == (0, "")
    assert "report: model-eval/drift-scores/report.html" in out
    assert everything_below(tmp_path / "model") == before
    of_run = drifted(tmp_path / "run" / "eval" / "drift-step-00000003")
    of_model = drifted(tmp_path / "model-eval" / "drift-scores")
    assert of_model["drift"] == of_run["drift"]
    assert of_model["command"] == "hatch run eval:drift model --device cpu --clips 1 --frames 31 --no-agreement"


def test_a_stored_sequence_is_shown_forwards_and_backwards_which_is_said(tmp_path, run_command):
    """It has 4 frames: shown are 0 1 2 3 2 1 0 1 ..., and where it runs backwards nobody knows how it moves."""
    for name, split in (("seen", "train"), ("other", "val")):
        write_folder(open_source(STREET.data, split), tmp_path / name, sequences=1)
    data = FolderConfig(root=str(tmp_path / "seen"), height=32, width=64)
    make_run(tmp_path / "run", attrs.evolve(STREET, data=data))
    command = "drift run --data other --frames 31 --device cpu --no-agreement --out away"
    status, _, err = run_command(*command.split())
    assert status == 0, err
    (line,) = [line for line in err.splitlines() if "forwards" in line]
    assert line.startswith("warning: 1 of 1 sequences are shorter than 31 frames (")
    assert "has 4 frames): they are shown forwards and backwards in turn" in line
    found = drifted(tmp_path / "away")
    assert line.removeprefix("warning: ") in found["notices"]
    assert found["command"].endswith("--frames 31 --data other --no-agreement")
    known = [value is not None for value in found["drift"]["warping"]["generated"]]
    assert known == [at % 6 in (1, 2, 3) for at in range(31)]
    assert None not in found["drift"]["psnr"]["generated"]


@pytest.mark.slow
def test_a_model_that_ships_drifts(tmp_path, run_command):
    if not (MODELS / "street").is_dir():
        pytest.skip("the models are not in this checkout")
    command = ("drift", str(MODELS / "street"), "--frames", "31", "--device", "cpu", "--no-agreement", "--out", "away")
    status, _, err = run_command(*command)
    assert (status, err) == (0, "")
    found = drifted(tmp_path / "away")
    assert found["drift"]["psnr"]["mean"] > 15
    assert str(MODELS) not in (tmp_path / "away" / "report.html").read_text()
    assert str(MODELS) not in (tmp_path / "away" / "drift.json").read_text()


def test_too_few_frames_and_another_directory_are_refused(tmp_path, run_command):
    make_run(tmp_path / "run", STREET)
    status, _, err = run_command("drift", "run", "--frames", "30")
    assert (status, err.count("\n")) == (2, 1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    status, _, err = run_command("drift", "run", "--frames", "40", "--out", "full")
    assert (status, err.count("\n")) == (2, 1)
    assert "drift.json" in err
