"""`few-shot` on runs that were never trained: a checkpoint with fresh weights is enough to be evaluated."""

import base64
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import attrs
import av
import cv2
import numpy as np
import pytest
import torch
from vs_config import render_config
from vs_data import (
    AugmentConfig,
    FacesConfig,
    FolderConfig,
    LandmarksConfig,
    NoFlowConfig,
    StreetConfig,
    open_source,
    write_folder,
)
from vs_eval.few_shot.command import NO_ATTENTION, people_of
from vs_eval.opening import SEEN
from vs_nets import (
    AttentionConfig,
    DiscriminatorConfig,
    EmbedderConfig,
    FewShotGeneratorConfig,
    FlowConfig,
    NoPerceptual,
    ObjectiveConfig,
    PatchConfig,
    SpadeCombination,
    WeightGeneratorConfig,
    build_ema,
)
from vs_runtime import save_checkpoint
from vs_runtime.run_directory import RunDirectory, create_run
from vs_training.config import ReferencesConfig, TrainConfig, label_spec
from vs_training.curriculum import CurriculumConfig

GENERATOR = FewShotGeneratorConfig(
    downsamples=3,
    filters=4,
    max_filters=16,
    embedder=EmbedderConfig(arch="encoderdecoder", filters=4, max_filters=16, downsamples=3),
    weights=WeightGeneratorConfig(levels=2),
    flow=FlowConfig(filters=4, max_filters=8, downsamples=2, residual_blocks=1),
    combination=SpadeCombination(levels=2, embedder=EmbedderConfig(filters=4, max_filters=8, downsamples=2)),
)
CONFIG = TrainConfig(
    data=FacesConfig(height=32, width=32, sequence_length=5, train_identities=2, val_identities=2, motions=1),
    references=ReferencesConfig(min=1, max=2),
    generator=GENERATOR,
    discriminator=DiscriminatorConfig(image=PatchConfig(filters=4, layers=2, scales=1)),
    objective=ObjectiveConfig(perceptual=NoPerceptual()),
    curriculum=CurriculumConfig(initial_length=2, max_length=4),
)
ATTENDING = attrs.evolve(
    CONFIG,
    generator=attrs.evolve(
        GENERATOR, weights=attrs.evolve(GENERATOR.weights, attention=AttentionConfig(downsamples=1))
    ),
)


def make_run(path: Path, *steps: int, config: TrainConfig = CONFIG) -> RunDirectory:
    run = RunDirectory(path)
    create_run(run, config=render_config(config), environment={})
    for step in steps:
        torch.manual_seed(step)
        channels = label_spec(config.labels, open_source(config.data, "val")).channels
        average = build_ema(config.generator, label_channels=channels)
        save_checkpoint(run.checkpoints, step=step, state={"average": average.state_dict(), "step": step}, keep=9)
    return run


@pytest.fixture
def run_main(run_command):
    return partial(run_command, "few-shot")


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return len(list(container.decode(video=0)))


@pytest.mark.parametrize("attends", [False, True])
def test_a_run_is_evaluated_from_one_reference_and_from_three(run_main, tmp_path, attends):
    run = make_run(tmp_path / "runs" / "one", 3, config=ATTENDING if attends else CONFIG)
    status, out, err = run_main("--device", "cpu")
    assert (status, err) == (0, "" if attends else f"warning: {NO_ATTENTION}\n")
    report = run.path / "eval" / "step-00000003"
    assert f"report: {Path('runs/one/eval/step-00000003/report.html')}" in out
    read = json.loads((report / "report.json").read_text())
    page = (report / "report.html").read_text()
    assert read["checkpoint"]["step"] == 3
    assert read["notices"] == ([] if attends else [NO_ATTENTION])
    assert (NO_ATTENTION in page) is not attends
    one, three, driving = read["sections"]
    assert [part["references"] for part in read["sections"]] == [1, 3, 1]
    for part, left in ((one, 2 * (5 - 1)), (three, 2 * (5 - 3))):
        assert part["title"] in page
        assert [clip["frames"] for clip in part["clips"]] == [5, 5]
        assert part["scores"]["psnr/generated"]["weight"] == left
        assert {"ssim/warped", "warping/real", "epe/zero", "reference_epe/generated"} <= set(part["scores"])
        assert {"colour/training", "colour_skin/generated", "colour_background/to_training"} <= set(part["scores"])
    assert {"head_psnr/repeated", "head_ssim/warped"} <= set(one["scores"])
    assert len(one["comparisons"]) == 10
    assert {"head_psnr/generated", "colour/to_driver"} <= set(driving["scores"])
    assert [clip["frames"] for clip in driving["clips"]] == [5, 5]
    files = [item for part in read["sections"] for item in part["files"]]
    assert len(files) == 2 + 2 + 2
    for item in files:
        assert frames_of(report / item["video"]) == 5
        assert (report / item["strip"]).is_file()
        assert base64.b64encode((report / item["video"]).read_bytes()).decode() in page
    assert files[-1]["video"] == "drive-001-face-500001-0-by-face-500000-0.mp4"
    assert cv2.imread(str(report / "identities.png")) is not None
    assert read["measures"]["colour"]["unit"] == "delta E"
    assert read["environment"]["packages"]["torch"] == torch.__version__


def test_the_same_checkpoint_gives_the_same_report(run_main, tmp_path, all_but_the_time):
    run = make_run(tmp_path / "run", 1)
    for name in ("a", "b"):
        assert run_main(str(run.path), "--out", name, "--clips", "1", "--frames", "2", "--references", "2")[0] == 0
    assert all_but_the_time(tmp_path / "a") == all_but_the_time(tmp_path / "b")


def test_class_ids_are_a_label_like_any_other(run_main, tmp_path):
    config = attrs.evolve(CONFIG, data=attrs.evolve(CONFIG.data, labels="regions"))
    make_run(tmp_path / "run", 1, config=config)
    assert run_main("run", "--clips", "1", "--references", "1", "--out", "report")[0] == 0
    (part,) = json.loads((tmp_path / "report" / "report.json").read_text())["sections"]  # one person drives nobody
    assert part["scores"]["psnr/generated"]["weight"] == 4
    assert frames_of(tmp_path / "report" / part["files"][0]["video"]) == 5


def test_faces_show_a_person_in_several_sequences_and_folders_in_one():
    faces = attrs.evolve(CONFIG, data=attrs.evolve(CONFIG.data, motions=3))
    assert people_of(faces.data, open_source(faces.data, "val")) == (0, 0, 0, 1, 1, 1)
    street = StreetConfig(height=128, width=256, val_sequences=3)
    assert people_of(street, open_source(street, "val")) == (0, 1, 2)


def test_without_drive_there_are_subjects_only(run_main, tmp_path, everything_below):
    make_run(tmp_path / "run", 1)
    assert run_main("run", "--no-drive", "--references", "1", "--frames", "1", "--out", "report")[0] == 0
    assert not [name for name in everything_below(tmp_path / "report") if name.startswith(("drive", "identities"))]
    command = json.loads((tmp_path / "report" / "report.json").read_text())["command"]
    assert command == "hatch run eval:few-shot run --checkpoint 1 --device cpu --frames 1 --references 1 --no-drive"


def test_data_without_regions_and_flow_say_what_is_missing(run_main, tmp_path):
    for name in ("a", "b"):
        for folder, picture in (
            ("images", np.full((32, 32, 3), 90, np.uint8)),
            ("seg_maps", np.ones((32, 32), np.uint8)),
        ):
            (tmp_path / "data" / folder / name).mkdir(parents=True)
            for index in range(4):
                cv2.imwrite(str(tmp_path / "data" / folder / name / f"{index}.png"), picture)
    data = FolderConfig(root=str(tmp_path / "data"), height=32, width=32, flow=NoFlowConfig(), augment=AugmentConfig())
    make_run(tmp_path / "run", 1, config=attrs.evolve(CONFIG, data=data))
    status, out, err = run_main("run", "--references", "1", "--out", "report")
    assert status == 0
    notices = json.loads((tmp_path / "report" / "report.json").read_text())["notices"]
    assert err.splitlines() == [f"warning: {notice}" for notice in notices]
    assert notices[:2] == [SEEN, "val data: 8 frames looked at, 3 warnings"]
    repeated, _, missing = (notice.partition(": ")[2] for notice in notices[2:])
    assert repeated.startswith("3 of 4 frames repeat the picture before them: 1, 2, 3; ")
    assert missing.startswith("34 of 35 classes never occur: 0, 2 to 34; ")
    one, driving = json.loads((tmp_path / "report" / "report.json").read_text())["sections"]
    pictures = {f"{name}/{method}" for name in ("psnr", "ssim") for method in ("generated", "repeated")}
    assert set(one["scores"]) == pictures | {"grid/generated", "grid/real", "tof/generated"}
    assert driving["scores"] == {}
    assert len(driving["files"]) == 2
    page = (tmp_path / "report" / "report.html").read_text()
    for words in ("do not say which pixels are skin", "no teacher&#39;s flow to references", "pictures and no scores"):
        assert words in page
    assert "do not say which pixels are skin" in out


def test_sequences_of_another_folder_are_held_out(run_main, tmp_path):
    source = open_source(CONFIG.data, "val")
    for name in ("train", "val"):
        write_folder(source, tmp_path / name, sequences=1)
    data = FolderConfig(
        root="train", val_root="val", height=32, width=32, flow=NoFlowConfig(), labels=(LandmarksConfig(),)
    )
    make_run(tmp_path / "run", 1, config=attrs.evolve(CONFIG, data=data))
    assert run_main("run", "--references", "1", "--frames", "2", "--no-agreement")[::2] == (0, "")


def street_run(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    config = TrainConfig(data=StreetConfig(height=128, width=256))
    create_run(run, config=render_config(config), environment={})
    save_checkpoint(run.checkpoints, step=1, state={"step": 1, "average": {}}, keep=9)
    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no such directory"),
        (["fresh"], "no checkpoint that can be read: nothing has been saved yet"),
        (["good", "--checkpoint", "4"], "--checkpoint: there is none of step 4; there are: 1"),
        (["good", "--references", "0"], "--references: expected a whole number from 1 to 1000, got '0'"),
        (["good", "--references", "1", "5"], "--references: 5 asked for, but sequence 'face-500000-0' has 5 frames"),
        (["good", "--references", "some"], "--references: expected a whole number from 1 to 1000, got 'some'"),
        (["good", "--references", "1.5"], "--references: expected a whole number from 1 to 1000, got '1.5'"),
        (["good", "--references"], "--references: nothing follows it; name what it is for, or leave it out"),
        (["good", "--frames", "2.0"], "--frames: expected a whole number from 1 to 1000000, got '2.0'"),
        (["good", "--references", "3", "--frames", "1"], "--frames: 1 asked for, all of them among the 3 references"),
        (["good", "--clips", "0"], "--clips: expected a whole number from 1 to 1000000, got '0'"),
        (["good", "--out", "foreign"], "holds other files than a report"),
        (["edited"], "do not fit the configuration"),
        (["street"], "its generator is a vid2vid generator; evaluate it by `hatch run eval:vid2vid street`"),
        ([], "runs: there is no few-shot run here yet"),
    ],
)
def test_wrong_input_is_one_line_and_status_2_and_leaves_nothing(
    run_main, tmp_path, everything_below, arguments, message
):
    make_run(tmp_path / "good", 1)
    make_run(tmp_path / "fresh")
    edited = make_run(tmp_path / "edited", 1)
    edited.config.write_text(render_config(ATTENDING))
    street_run(tmp_path / "street")
    street_run(tmp_path / "runs" / "street")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thing.txt").write_text("mine")
    before = everything_below(tmp_path)
    status, out, err = run_main(*arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert message in err
    assert len(err) < 300
    assert everything_below(tmp_path) == before


def test_bad_data_are_one_line_and_leave_nothing(run_main, tmp_path, everything_below):
    for index, size in enumerate((32, 32, 40)):
        for folder, shape in (("images", (size, 32, 3)), ("seg_maps", (size, 32))):
            (tmp_path / "data" / folder / "a").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "data" / folder / "a" / f"{index}.png"), np.ones(shape, np.uint8))
    data = FolderConfig(root=str(tmp_path / "data"), height=32, width=32, flow=NoFlowConfig())
    make_run(tmp_path / "run", 1, config=attrs.evolve(CONFIG, data=data))
    before = everything_below(tmp_path)
    status, _, err = run_main("run", "--references", "1")
    assert status == 2
    (error,) = err.splitlines()
    assert error.startswith("error: ")
    assert "2.png" in error
    assert everything_below(tmp_path) == before


def test_each_command_takes_the_latest_run_of_its_kind(run_command, tmp_path):
    mine = make_run(tmp_path / "runs" / "mine", 1)
    other = street_run(tmp_path / "runs" / "other")
    for run, time in ((mine, 1_000), (other, 2_000)):
        for path in run.checkpoints.iterdir():
            os.utime(path, (time, time))
    assert run_command("few-shot", "--clips", "1", "--frames", "1", "--references", "1")[0] == 0
    assert (mine.path / "eval").is_dir()
    status, _, err = run_command("vid2vid", "runs/mine")
    assert status == 2
    assert err == (
        "error: runs/mine: its generator is a few-shot generator; evaluate it by `hatch run eval:few-shot runs/mine`\n"
    )
    assert "runs/other" in run_command("vid2vid")[2]  # its average holds nothing


def test_help_names_the_options():
    command = [sys.executable, "-m", "vs_eval", "few-shot", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for option in ("RUN", "--references", "--drive", "--no-drive", "--out", "--checkpoint", "--device", "--clips"):
        assert option in done.stdout
