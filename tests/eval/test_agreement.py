"""The reader of labels in a report: trained once for reports beside one another, and left out when asked to."""

import json
from pathlib import Path
from unittest import mock

import attrs
import cv2
import numpy as np
import pytest
import torch
from toy_runs import FEW_SHOT, STREET, make_run
from vs_data import FolderConfig, NoFlowConfig
from vs_eval.agreement import READER, find_reader, plan_reader, write_reader
from vs_nets import ClassMap, LabelSpec
from vs_training.quality.reader import LabelReader

SHORT = ("--device", "cpu", "--clips", "1", "--frames", "8")
LABELS = LabelSpec((ClassMap(name="seg_maps", classes=35),))


@pytest.fixture
def run(tmp_path):
    """A run on streets that are long enough to be judged."""
    return make_run(
        tmp_path / "run", attrs.evolve(STREET, data=attrs.evolve(STREET.data, sequence_length=8, val_sequences=1))
    )


def report_of(path: Path) -> dict:
    return json.loads((path / "report.json").read_text())


def test_a_report_says_how_labels_are_read_and_the_next_one_reads_by_the_same_reader(run, run_command, tmp_path):
    status, out, err = run_command("vid2vid", str(run.path), *SHORT, "--out", "reports/one")
    assert (status, err) == (0, "")
    assert "seconds went to the reader of labels" in out
    sets = {each["name"]: each for each in report_of(tmp_path / "reports" / "one")["sets"]}
    assert {"label_iou", "label_accuracy", "still_grid"} <= sets.keys()
    accuracy = sets["label_accuracy"]
    assert (accuracy["frames"], accuracy["least_frames"], accuracy["interval"]) == (8, 8, None)
    assert 0 <= accuracy["value"] <= 1
    assert "no judge" in accuracy["note"]  # nothing is learnt in a single step
    with mock.patch("vs_eval.agreement.train_reader", side_effect=AssertionError):
        assert run_command("vid2vid", str(run.path), *SHORT, "--out", "reports/two")[0] == 0
    one, two = (tmp_path / "reports" / name / READER for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_no_reader_is_trained_where_it_is_not_wanted(run, run_command, tmp_path):
    with mock.patch("vs_eval.agreement.train_reader", side_effect=AssertionError):
        status, out, _ = run_command("vid2vid", str(run.path), *SHORT, "--no-agreement", "--out", "report")
    assert status == 0
    assert "seconds went to" not in out
    assert not (tmp_path / "report" / READER).exists()
    found = report_of(tmp_path / "report")
    assert "--no-agreement" in found["command"]
    assert [each["name"] for each in found["sets"]] == ["still_grid"]


def test_classes_have_scores_of_their_own(run, run_command, tmp_path):
    assert run_command("vid2vid", str(run.path), *SHORT, "--no-agreement", "--out", "report")[0] == 0
    scores = report_of(tmp_path / "report")["scores"]
    seen = {name.partition("/")[2] for name in scores if name.startswith("class_psnr/")}
    assert {"7", "23"} <= seen  # road and sky
    assert scores["class_psnr/7"]["weight"] <= 7  # frames, without the first
    assert scores["class_l1/7"]["weight"] > 7 * 16  # pixels
    assert ">road</th>" in (tmp_path / "report" / "report.html").read_text()


def test_lines_of_few_shot_labels_are_read_too(run_command, tmp_path):
    long = attrs.evolve(FEW_SHOT.data, sequence_length=9, val_identities=1)
    make_run(tmp_path / "faces", attrs.evolve(FEW_SHOT, data=long))
    assert run_command("few-shot", "faces", "--references", "1", "--no-drive", "--out", "report")[0] == 0
    (one,) = report_of(tmp_path / "report")["sections"]
    sets = {each["name"]: each for each in one["sets"]}
    assert sets["label_iou"]["frames"] >= 8
    assert (tmp_path / "report" / READER).is_file()


@pytest.mark.parametrize("kind", ["vid2vid", "few-shot"])
def test_of_too_few_frames_it_is_said_before_a_reader_is_trained(run, run_command, tmp_path, kind):
    make_run(tmp_path / "faces", attrs.evolve(FEW_SHOT, data=attrs.evolve(FEW_SHOT.data, val_identities=1)))
    options = {
        "vid2vid": ("run", "--clips", "1", "--frames", "7"),
        "few-shot": ("faces", "--references", "1", "--no-drive"),
    }[kind]
    with mock.patch("vs_eval.agreement.train_reader", side_effect=AssertionError):
        status, _, err = run_command(kind, *options, "--device", "cpu", "--out", "report")
    assert status == 0
    assert "frames to score, and agreement with labels needs at least 8: it is not judged" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "report" / READER).exists()
    assert any("needs at least 8" in notice for notice in report_of(tmp_path / "report")["notices"])


def test_a_reader_of_other_pictures_in_the_same_files_is_not_taken(tmp_path):
    """Names, numbers and sizes are what they were."""

    def key(shade: int) -> str:
        for folder, value in (("images", shade), ("seg_maps", 7)):
            place = tmp_path / "data" / folder / "a"
            place.mkdir(parents=True, exist_ok=True)
            for frame in range(2):
                assert cv2.imwrite(str(place / f"{frame}.png"), np.full((32, 64), value, np.uint8))
        config = FolderConfig(root=str(tmp_path / "data"), height=32, width=64, flow=NoFlowConfig())
        plan = plan_reader(LABELS, config)
        assert plan is not None
        return plan.key

    assert key(10) == key(10)
    assert key(10) != key(11)


def test_readers_of_other_data_and_broken_files_are_not_taken(tmp_path):
    plan = plan_reader(LABELS, STREET.data)
    other = plan_reader(LABELS, attrs.evolve(STREET.data, height=64))
    assert plan is not None
    assert other is not None
    reports = [tmp_path / name for name in ("broken", "other", "right")]
    for report in reports:
        report.mkdir()
    torch.manual_seed(0)
    reader = LabelReader(35)
    (reports[0] / READER).write_bytes(b"no weights")
    write_reader(reports[1] / READER, reader, other.key)
    assert find_reader([*reports, tmp_path / "none"], plan) is None
    write_reader(reports[2] / READER, reader, plan.key)
    found = find_reader(reports, plan)
    assert found is not None
    assert all(torch.equal(value, reader.state_dict()[name]) for name, value in found.state_dict().items())
    assert plan_reader(LABELS, None) is None
