"""The accuracy experiment: its plan, what is made of its numbers, and a miniature of it through the command line."""

import io
import itertools
import json
import math
import shutil

import attrs
import pytest
from rich.console import Console
from vs_bench.__main__ import main
from vs_bench.accuracy import command as accuracy
from vs_bench.accuracy.arm import HELD_OUT
from vs_bench.accuracy.plan import SHORT, AccuracyError, default_experiments, plan_arms, plan_levels, preset_experiments
from vs_bench.accuracy.report import BLOCK, JUDGED, Measured, Result, blocks, compact, find, read_result, record_of
from vs_bench.accuracy.runs import Setting, Standing, Stopped, check_arms, run_arms, show_standing, steps_done
from vs_bench.accuracy.words import statements, table_of
from vs_config import ConfigError, render_config
from vs_config.progress import show_progress
from vs_config.signals import StopRequest
from vs_runtime.run_directory import create_run

SEEDS = (0, 1, 2)
PLANTED = "planted-2-bits"
FAULTS = {PLANTED: "weights in 2 bits"}


class Nobody:
    """Looks at no progress."""

    def update(self, *_, **__):
        pass

    def message(self, text):
        pass


def arms_of(levels=(), device="cpu", experiments=None, fault_seeds=None):
    planned = plan_levels(levels, device, (2,))
    return plan_arms(experiments or default_experiments(SHORT, ()), planned, SEEDS, device, fault_seeds)


def names_of(levels, device="cpu", bits=(2,)):
    return [level.name for level in plan_levels(levels, device, bits)]


def test_the_plan_has_every_combination_once_and_all_of_a_seed_before_the_next():
    arms = arms_of()
    assert len({arm.name for arm in arms}) == len(arms) == 2 * 3 * 3
    assert [arm.seed for arm in arms] == sorted(arm.seed for arm in arms)
    assert {arm.experiment for arm in arms} == {"vid2vid", "few-shot"}


def test_arms_of_a_seed_differ_in_nothing_but_precision():
    for experiment in SHORT:
        for seed in SEEDS:
            group = [arm for arm in arms_of() if (arm.experiment, arm.seed) == (experiment, seed)]
            assert len({arm.config.precision for arm in group}) == 2
            assert len({attrs.evolve(arm.config, precision=group[0].config.precision) for arm in group}) == 1
            assert group[0].config.seed == seed


def test_faults_of_several_sizes_are_planted_with_the_first_seeds_the_smallest_first():
    assert names_of((), bits=(0, 3, 1, 3)) == [
        "O0", "O1-bfloat16", "planted-3-bits", "planted-1-bit", "planted-0-bits"
    ]  # fmt: skip
    arms = arms_of(fault_seeds=2)
    assert {arm.seed for arm in arms if arm.level.fault_bits is not None} == {0, 1}
    assert {arm.seed for arm in arms if arm.level.fault_bits is None} == {0, 1, 2}


def test_only_the_planted_arm_has_a_fault_and_it_is_planted_in_float32():
    for arm in arms_of():
        assert (arm.level.fault_bits == 2) == (arm.level.name == PLANTED)
        assert arm.config.precision.level == ("O1" if arm.level.name.startswith("O1") else "O0")


def test_levels_are_those_of_the_device_and_each_is_trained_once():
    assert names_of(()) == ["O0", "O1-bfloat16", PLANTED]
    assert names_of(("O1", "float16", "bfloat16")) == ["O0", "O1-bfloat16", "O1-float16", PLANTED]


def test_on_a_gpu_o1_is_float16_and_bfloat16_is_trained_too(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    assert names_of((), "cuda") == ["O0", "O1-float16", "O1-bfloat16", PLANTED]


def test_the_short_experiments_keep_what_precision_acts_on():
    vid2vid, few_shot = (experiment.config for experiment in default_experiments(SHORT, ()))
    assert few_shot.generator.weights.attention is not None
    for config in (vid2vid, few_shot):
        assert config.curriculum.max_length > 1
        assert config.run.steps > config.curriculum.single_frame_steps
        assert config.generator.flow is not None
        assert config.run.threads == 1


def test_overrides_and_presets_make_other_experiments():
    (short,) = default_experiments(["vid2vid"], ["run.steps=3"])
    assert short.config.run.steps == 3
    (preset,) = preset_experiments(["street-small"], ())
    assert (preset.name, preset.config.data.width, preset.config.run.steps) == ("street-small", 256, 6000)
    with pytest.raises(ConfigError, match="stepz"):
        default_experiments(["vid2vid"], ["run.stepz=3"])


BASE = ((16.4, 16.5, 16.6, 16.5, 16.45, 16.55), (0.26, 0.27, 0.28, 0.27, 0.265, 0.275))
"""PSNR and SSIM of six runs in O0: margins are 0.3 dB and 0.026."""

FLOORS = {"psnr/class_mean": 15.0, "ssim/class_mean": 0.4, "psnr/mean_frame": 12.0, "ssim/mean_frame": 0.14}
WORSE = ((14.1, 14.4, 15.2), (0.1, 0.12, 0.13))
MEASURED = Measured(at="2026-01-02T03:04:05+00:00", machine={"git": {"revision": "abc", "dirty": False}})


def results_of(level, psnr, ssim, floors=FLOORS):
    """A result for each seed; None stands for a run that diverged."""
    results = []
    for seed, values in enumerate(zip(psnr, ssim, strict=True)):
        diverged = None in values
        scores = {} if diverged else dict(zip(JUDGED, values, strict=True)) | floors | {"psnr/previous": 26.0}
        losses = {"d_gan": (2.0, None)}
        results.append(
            Result(level=level, seed=seed, diverged=diverged, scores=scores, losses=losses, measured=MEASURED)
        )
    return results


def finding_of(planted=WORSE, level=BASE, baseline=BASE, floors=FLOORS):
    found = {"O0": baseline, "O1-bfloat16": level, PLANTED: planted}
    return find("vid2vid", [r for name, scores in found.items() for r in results_of(name, *scores, floors)][::-1])


def said(finding):
    return statements(finding, FAULTS)


def test_a_level_like_o0_is_equivalent_once_a_fault_is_found_out():
    learnt, level, fault = said(finding_of())
    assert "PSNR is 1.500 dB above the mean colour of each class (15.000 dB);" in learnt
    assert "vid2vid, O1-bfloat16 against O0: equivalent within the margin." in level
    assert "the margin is 0.300 dB" in level
    assert "in 80 %" in level
    assert "planted-2-bits (weights in 2 bits): found out in PSNR and SSIM." in fault


def test_what_o0_does_not_beat_is_said_and_something_easier_is_its_floor():
    finding = finding_of()
    assert "SSIM is 0.1300 above the mean frame of the training data (0.1400)" in said(finding)[0]
    assert "though not above the mean colour of each class (0.4000)" in said(finding)[0]
    few_shot = finding_of(floors={**FLOORS, "psnr/class_mean": 24.5, "psnr/mean_frame": 24.0})
    assert "PSNR is not above the mean frame" in said(few_shot)[0]
    assert few_shot.verdicts["O1-bfloat16"]["psnr/generated"] == "cannot tell"


def test_without_a_fault_found_out_nothing_is_equivalent():
    finding = finding_of(planted=BASE)
    _, level, fault = said(finding)
    assert "against O0: cannot tell." in level
    assert "no planted fault was found out" in level
    assert "not found out" in fault
    assert set(finding.verdicts["O1-bfloat16"].values()) == {"cannot tell"}


def test_runs_that_collapsed_are_named_and_never_equivalent():
    collapsed = ((15.088, *BASE[0][1:]), (0.15, *BASE[1][1:]))
    finding = finding_of(level=collapsed)
    assert "against O0: cannot tell." in said(finding)[1]
    assert "of O1-bfloat16 seed 0 collapsed" in said(finding)[1]
    half = ((15.0, 15.1, 15.05, *BASE[0][3:]), (0.15, 0.15, 0.15, *BASE[1][3:]))
    for finding in (finding_of(level=half), finding_of(baseline=half)):
        assert "equivalent within the margin" not in set(finding.verdicts["O1-bfloat16"].values())
    assert "of O0 seeds 0, 1, 2 collapsed" in said(finding)[1]


def test_a_level_that_diverges_has_collapsed_and_the_record_is_still_json():
    finding = finding_of(level=((None,) * 6, (None,) * 6))
    assert "O1-bfloat16 against O0: different." in said(finding)[1]
    assert "in number of collapsed runs" in said(finding)[1]
    record = recorded(finding)
    text = json.dumps(record, allow_nan=False)
    judged = json.loads(text)["experiments"][0]["judgements"]["O1-bfloat16"]["psnr/generated"]
    assert judged["difference"] is None
    assert judged["collapses"]["arm"] == [0, 1, 2, 3, 4, 5]
    assert "nan" in rendered(finding)


def recorded(finding):
    experiments = default_experiments(["vid2vid"], ())
    return record_of(experiments, plan_levels((), "cpu", (2,)), [finding], FAULTS, [said(finding)])


def rendered(finding):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_of([finding]))
    return console.export_text()


def test_the_record_holds_every_score_and_says_when_and_by_what_it_was_measured():
    record = recorded(finding_of())
    assert record["machine"]["git"]["revision"] == "abc"
    assert record["revisions"] == [{"revision": "abc", "dirty": False}]
    assert record["measured_at"] == record["last_arm_at"] == MEASURED.at
    (found,) = record["experiments"]
    assert found["verdicts"]["O1-bfloat16"]["all"] == "equivalent within the margin"
    assert [(run["level"], run["seed"]) for run in found["runs"]] == [
        *[(level, seed) for level in ("O0", "O1-bfloat16") for seed in range(6)],
        *[(PLANTED, seed) for seed in range(3)],
    ]
    assert found["runs"][0]["scores"]["psnr/previous"] == 26.0
    assert found["runs"][0]["losses"] == {"d_gan": (2.0, None)}
    assert found["judgements"][PLANTED].keys() == found["differences"][PLANTED].keys() == set(JUDGED)
    assert found["config"]["data"]["kind"] == "street"


def test_a_baseline_of_which_hardly_a_run_ends_is_an_error_in_one_line():
    with pytest.raises(AccuracyError, match="fewer than two runs in O0"):
        finding_of(baseline=((None,) * 5 + (16.5,), (None,) * 5 + (0.27,)))


def test_curves_are_kept_as_means_of_blocks_of_what_is_known():
    assert blocks([1.0] * BLOCK + [2.0, None, math.nan]) == (1.0, 2.0)
    assert blocks([None] * BLOCK + [1.23456]) == (None, 1.235)


@pytest.mark.parametrize("content", ["{", "[]", '{"diverged": false, "scores": {}}', '{"measured": null}'])
def test_a_result_that_is_damaged_or_of_another_version_is_named(content, tmp_path):
    arm = arms_of()[0]
    pretend_finished(arm, tmp_path, 16.0)
    (arm.run(tmp_path).path / HELD_OUT).write_text(content)
    with pytest.raises(AccuracyError, match=f"{HELD_OUT}: not a result of this program.*remove it"):
        read_result(arm, tmp_path)


def test_lists_of_numbers_become_one_line_and_nothing_else_changes():
    content = {"a": [1, -2.5, None, 3e-05], "b": [], "c": ["x", "y"], "d": [{"e": [[1, 2], [3]]}]}
    text = compact(json.dumps(content, indent=1))
    assert json.loads(text) == content
    assert '"a": [1, -2.5, null, 3e-05]' in text


def test_progress_is_counted_up_to_the_last_whole_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert steps_done(path) == 0
    path.write_text("".join(json.dumps({"step": i + 1, "x": "y" * 300}) + "\n" for i in range(200)) + '{"step": 2')
    assert steps_done(path) == 200


def shown_of(**standing):
    """The plain line of a standing, long after the one before."""
    stream, seconds = io.StringIO(), itertools.count(step=60.0)
    with show_progress("training", unit="frames", stream=stream, clock=lambda: next(seconds)) as progress:
        for _ in range(2):
            show_standing(Standing(finished=1, arms=3, frames=50, total=200, **standing), progress)
    return stream.getvalue().splitlines()


def test_how_far_it_has_come_is_a_line_with_an_estimate():
    heading = "1 of 3 arms finished, training a, b:"
    assert shown_of(running=("a", "b"), seconds_left=120.0) == [heading, f"{heading} 50/200 frames  about 2m00s left"]
    (first, _) = shown_of(running=(), seconds_left=None)
    assert first == "1 of 3 arms finished, training none:"


def test_an_arm_of_another_configuration_is_refused(tmp_path):
    arm = arms_of()[0]
    create_run(arm.run(tmp_path), config=render_config(arm.config), environment={})
    check_arms([arm], tmp_path)
    (other,) = default_experiments(["vid2vid"], ["run.steps=3"])
    with pytest.raises(AccuracyError, match="another configuration"):
        check_arms(arms_of(experiments=(other,)), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "--seeds: expected a whole number from 2 to 1000, got 1; a spread needs two"),
        (["--fault-seeds", "1"], "--fault-seeds: expected a whole number from 2"),
        (["--seeds", "100000000000"], "--seeds: expected a whole number from 2"),
        (["--jobs", "0"], "--jobs: expected a whole number from 1 to 1024, got '0'"),
        (["--jobs", "-3"], "--jobs: expected a whole number from 1 to 1024"),
        (["--clips", "0"], "--clips: expected a whole number from 1"),
        (["--frames", "1.5"], "--frames: expected a whole number from 1"),
        (["--fault-bits", "23"], "--fault-bits: expected a whole number from 0 to 22"),
        (["--network", "vid2vid", "--preset", "street-tiny"], "exclude each other"),
        (["--preset", "street-tinny"], "street-tiny"),
        (["run.stepz=3"], "run.stepz"),
        (["--levels", "O2"], "O2"),
    ],
)
def test_wrong_input_ends_with_one_line_and_no_file(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["accuracy", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


MINIATURE = [
    "data.sequence_length=4",
    "data.train_sequences=3",
    "loader.batch_size=1",
    "generator.filters=4",
    "generator.max_filters=8",
    "generator.embedder.filters=4",
    "discriminator.image.filters=4",
    "curriculum.single_frame_steps=2",
    "curriculum.initial_length=2",
    "curriculum.max_length=2",
    "run.steps=3",
    "run.checkpoint_every=1",
    "run.sample_frames=2",
    "optim.schedule.warmup_steps=0",
    "optim.schedule.decay_start=2",
    "optim.schedule.decay_end=3",
    "optim.ema.start_step=1",
]


def pretend_finished(arm, out, psnr):
    """The files of an arm that somebody has trained."""
    run = arm.run(out)
    create_run(run, config=render_config(arm.config), environment={})
    run.metrics.write_text(json.dumps({"step": 1, "d_gan": 2.0, "g_perceptual": 1.0}) + "\n")
    scores = {"psnr/generated": psnr, "ssim/generated": psnr / 100, "warping/generated": 1.0, **FLOORS}
    measured = {"at": MEASURED.at, "machine": MEASURED.machine}
    (run.path / HELD_OUT).write_text(json.dumps({"diverged": False, "measured": measured, "scores": scores}))


def test_a_miniature_trains_what_is_missing_goes_on_with_it_and_tells(tmp_path, monkeypatch, capsys):
    """Two of six arms are trained, in processes of their own; the others are finished, and are not touched."""
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path / "docs")
    out, arguments = (
        tmp_path / "out",
        ["--network", "vid2vid", "--seeds", "2", "--fault-seeds", "2", "--clips", "1", "--frames", "3"],
    )
    experiments = default_experiments(["vid2vid"], MINIATURE)
    arms = plan_arms(experiments, plan_levels((), "cpu", (2,)), range(2), "cpu")
    missing = [arm for arm in arms if arm.name in ("vid2vid-O1-bfloat16-seed0", "vid2vid-planted-2-bits-seed0")]
    for arm in arms:
        if arm not in missing:
            pretend_finished(arm, out, 16.0 + arm.seed)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    command = [*arguments, "--device", "cpu", "--jobs", "2", "--fault-bits", "2", "--out", str(out), *MINIATURE]

    assert main(["accuracy", *command]) == 0
    printed = capsys.readouterr()
    assert "2 of 6 arms to train" in " ".join(printed.err.split())
    assert "planted-2-bits (weights of the generator rounded to 2 bits of mantissa after every step" in printed.out
    record = json.loads((out / "accuracy.json").read_text())
    (found,) = record["experiments"]
    trained = [run for run in found["runs"] if run["seed"] == 0 and run["level"] != "O0"]
    assert [len(run["losses"]["g_perceptual"]) for run in trained] == [1, 1]
    assert {"psnr/mean_frame", "ssim/mean_frame", "psnr/class_mean"} <= trained[0]["scores"].keys()
    assert len(record["revisions"]) == 2
    assert record["measured_at"] == MEASURED.at < record["last_arm_at"]
    assert record["machine"] == MEASURED.machine
    assert all(math.isfinite(run["scores"]["psnr/generated"]) for run in trained)
    assert trained[0]["scores"] != trained[1]["scores"]
    assert {path: path.read_bytes() for path in before} == before
    assert (out / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "docs").exists()

    # Interrupted after its second step, the planted arm goes on from there and becomes what it was.
    run = missing[1].run(out).path
    finished = json.loads((run / HELD_OUT).read_text())
    (run / HELD_OUT).unlink()
    shutil.rmtree(run / "checkpoints" / "step-00000003")
    assert main(["accuracy", *command, "--store"]) == 0
    assert "going on from" in (out / "logs" / f"{run.name}.log").read_text()
    assert json.loads((run / HELD_OUT).read_text())["scores"] == finished["scores"]
    assert (
        json.loads((tmp_path / "docs" / "accuracy-vid2vid-2-seeds-cpu.json").read_text())["experiments"]
        == record["experiments"]
    )
    assert (tmp_path / "docs" / "accuracy-vid2vid-2-seeds-cpu.png").is_file()


def test_a_failing_arm_ends_the_experiment_with_its_last_line(tmp_path):
    arm = arms_of()[0]
    (tmp_path / "logs").mkdir()
    (tmp_path / "configs").mkdir()
    arm.run(tmp_path).path.write_text("in the way")
    with pytest.raises(AccuracyError, match=r"vid2vid-O0-seed0 failed with status 2: error: .*is a file"):
        run_arms([arm], Setting(out=tmp_path, jobs=1), StopRequest(), Nobody())


def test_whoever_asked_to_stop_is_told_how_to_go_on(tmp_path):
    with pytest.raises(Stopped, match=f"SIGTERM.*--out {tmp_path} goes on"):
        run_arms(arms_of(), Setting(out=tmp_path, jobs=1), StopRequest(requested="SIGTERM"), Nobody())
    assert not any(arm.run(tmp_path).path.exists() for arm in arms_of())
