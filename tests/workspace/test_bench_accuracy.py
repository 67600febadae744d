"""The accuracy experiment: its plan, what is made of its numbers, and a miniature of it through the command line."""

import io
import json
import math
import shutil

import accuracy
import attrs
import pytest
from accuracy_arm import HELD_OUT
from accuracy_plan import SHORT, AccuracyError, default_experiments, plan_arms, plan_levels, preset_experiments
from accuracy_report import JUDGED, Result, compact, find, record_of, statements, table_of
from accuracy_runs import Setting, Standing, Stopped, check_arms, frames_until, run_arms, steps_done
from rich.console import Console
from vs_train.config import CurriculumConfig
from vs_train.config_io import ConfigError, render_config
from vs_train.run_directory import create_run
from vs_train.signals import StopRequest

SEEDS = (0, 1, 2)
FAULT = "weights in 2 bits"
BASE = {"psnr/generated": (16.0, 16.5, 17.0), "ssim/generated": (0.25, 0.27, 0.29)}


def arms_of(levels=(), device="cpu", experiments=None):
    return plan_arms(experiments or default_experiments(SHORT, ()), plan_levels(levels, device, 2), SEEDS, device)


def names_of(levels, device="cpu"):
    return [level.name for level in plan_levels(levels, device, 2)]


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


def test_only_the_planted_arm_has_a_fault_and_it_is_planted_in_float32():
    for arm in arms_of():
        assert (arm.level.fault_bits == 2) == (arm.level.name == "planted")
        assert arm.config.precision.level == ("O1" if arm.level.name.startswith("O1") else "O0")


def test_levels_are_those_of_the_device_and_each_is_trained_once():
    assert names_of(()) == ["O0", "O1-bfloat16", "planted"]
    assert names_of(("O1", "float16", "bfloat16")) == ["O0", "O1-bfloat16", "O1-float16", "planted"]


def test_on_a_gpu_o1_is_float16_and_bfloat16_is_trained_too(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    assert names_of((), "cuda") == ["O0", "O1-float16", "O1-bfloat16", "planted"]


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


def results_of(level, **scores):
    """A result for each seed; None stands for a run that diverged."""
    results = []
    for index, seed in enumerate(SEEDS):
        values = {f"{name}/generated": column[index] for name, column in scores.items()}
        diverged = None in values.values()
        found = {} if diverged else {**values, "psnr/previous": 26.0}
        results.append(Result(level=level, seed=seed, diverged=diverged, scores=found, losses={"d_gan": (2.0, None)}))
    return results


def finding_of(planted, level=((16.1, 16.4, 17.0), (0.25, 0.28, 0.29))):
    columns = {"O0": BASE.values(), "O1-bfloat16": level, "planted": planted}
    results = [r for name, (psnr, ssim) in columns.items() for r in results_of(name, psnr=psnr, ssim=ssim)]
    return find("vid2vid", results[::-1])


SEEN = ((14.1, 14.4, 15.2), (0.1, 0.12, 0.13))
UNSEEN = ((15.9, 16.6, 16.8), (0.24, 0.27, 0.3))


def test_with_power_the_statement_says_what_would_have_been_seen():
    said, fault = statements(finding_of(SEEN), FAULT)
    assert "vid2vid, O1-bfloat16 against O0: no difference seen." in said
    assert "the spread between seeds is 0.500 dB, and 1.087 dB or more would have been seen" in said
    assert "seen in PSNR and SSIM" in fault


def test_without_power_nothing_says_that_there_is_no_difference():
    finding = finding_of(UNSEEN)
    said, fault = statements(finding, FAULT)
    assert "against O0: no power." in said
    assert "no difference" not in said
    assert "no power" in fault
    assert set(finding.verdicts["O1-bfloat16"].values()) == {"no power"}


def test_a_level_that_diverges_differs_and_the_record_is_still_json():
    finding = finding_of(SEEN, level=((16.0, None, 17.0), (0.25, None, 0.29)))
    assert "O1-bfloat16 against O0: difference." in statements(finding, FAULT)[0]
    record = record_of(default_experiments(["vid2vid"], ()), plan_levels((), "cpu", 2), [finding], FAULT)
    text = json.dumps(record, allow_nan=False)
    compared = json.loads(text)["experiments"][0]["comparisons"]["O1-bfloat16"]["psnr/generated"]
    assert compared["mean_difference"] is None
    assert compared["differences"][1] is None
    assert "nan" in rendered(finding)


def rendered(finding):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_of([finding]))
    return console.export_text()


def test_the_record_holds_every_score_and_loss_and_baselines_are_not_compared():
    finding = finding_of(SEEN)
    experiments = default_experiments(["vid2vid"], ())
    (found,) = record_of(experiments, plan_levels((), "cpu", 2), [finding], FAULT)["experiments"]
    assert found["verdicts"]["O1-bfloat16"]["all"] == "no difference seen"
    assert [(run["level"], run["seed"]) for run in found["runs"]] == [
        (level, seed) for level in ("O0", "O1-bfloat16", "planted") for seed in SEEDS
    ]
    assert found["runs"][0]["scores"]["psnr/previous"] == 26.0
    assert found["runs"][0]["losses"] == {"d_gan": [2.0, None]}
    assert found["comparisons"]["planted"].keys() == set(JUDGED)
    assert found["config"]["data"]["kind"] == "street"


def test_a_diverged_baseline_is_an_error_in_one_line():
    results = [
        *results_of("O0", psnr=(None, 16.5, 17.0), ssim=(None, 0.27, 0.29)),
        *results_of("planted", psnr=(16.0, 16.5, 17.0), ssim=(0.2, 0.2, 0.2)),
    ]
    with pytest.raises(AccuracyError, match="seed 0 diverged"):
        find("vid2vid", results)


def test_lists_of_numbers_become_one_line_and_nothing_else_changes():
    content = {"a": [1, -2.5, None, 3e-05], "b": [], "c": ["x", "y"], "d": [{"e": [[1, 2], [3]]}]}
    text = compact(json.dumps(content, indent=1))
    assert json.loads(text) == content
    assert '"a": [1, -2.5, null, 3e-05]' in text


def test_progress_is_counted_in_frames_up_to_the_last_whole_line(tmp_path):
    curriculum = CurriculumConfig(single_frame_steps=2, initial_length=3, double_every=2, max_length=6)
    assert [frames_until(curriculum, steps) for steps in range(7)] == [0, 1, 2, 5, 8, 14, 20]
    path = tmp_path / "metrics.jsonl"
    assert steps_done(path) == 0
    path.write_text("".join(json.dumps({"step": i + 1, "x": "y" * 300}) + "\n" for i in range(200)) + '{"step": 2')
    assert steps_done(path) == 200
    assert "1 of 3 arms finished, training a, b, about 2m00s left" in str(
        Standing(finished=1, arms=3, running=("a", "b"), done=0.5, seconds_left=120.0)
    )


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
        (["--seeds", "1"], "--seeds: a spread needs two"),
        (["--fault-bits", "23"], "--fault-bits: must be from 0 to 22"),
        (["--network", "vid2vid", "--preset", "street-tiny"], "exclude each other"),
        (["--preset", "street-tinny"], "street-tiny"),
        (["run.stepz=3"], "run.stepz"),
        (["--levels", "O2"], "O2"),
    ],
)
def test_wrong_input_ends_with_one_line_and_no_file(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert accuracy.start(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


MINIATURE = [
    "data.sequence_length=4",
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
    scores = {"psnr/generated": psnr, "ssim/generated": psnr / 100, "warping/generated": 1.0}
    (run.path / HELD_OUT).write_text(json.dumps({"diverged": False, "scores": scores}))


def test_a_miniature_trains_what_is_missing_goes_on_with_it_and_tells(tmp_path, monkeypatch, capsys):
    """Two of six arms are trained, in processes of their own; the others are finished, and are not touched."""
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path / "docs")
    out, arguments = tmp_path / "out", ["--network", "vid2vid", "--seeds", "2", "--clips", "1", "--frames", "3"]
    experiments = default_experiments(["vid2vid"], MINIATURE)
    arms = plan_arms(experiments, plan_levels((), "cpu", 2), range(2), "cpu")
    missing = [arm for arm in arms if arm.name in ("vid2vid-O1-bfloat16-seed0", "vid2vid-planted-seed0")]
    for arm in arms:
        if arm not in missing:
            pretend_finished(arm, out, 16.0 + arm.seed)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    command = [*arguments, "--device", "cpu", "--jobs", "2", "--fault-bits", "2", "--out", str(out), *MINIATURE]

    assert accuracy.start(command) == 0
    printed = capsys.readouterr()
    assert "2 of 6 arms to train" in " ".join(printed.err.split())
    assert "planted fault" in printed.out
    record = json.loads((out / "accuracy.json").read_text())
    (found,) = record["experiments"]
    trained = [run for run in found["runs"] if run["seed"] == 0 and run["level"] != "O0"]
    assert [len(run["losses"]["g_perceptual"]) for run in trained] == [3, 3]
    assert all(math.isfinite(run["scores"]["psnr/generated"]) for run in trained)
    assert trained[0]["scores"] != trained[1]["scores"]
    assert {path: path.read_bytes() for path in before} == before
    assert (out / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "docs").exists()

    # Interrupted after its second step, the planted arm goes on from there and becomes what it was.
    run = missing[1].run(out).path
    finished = (run / HELD_OUT).read_bytes()
    (run / HELD_OUT).unlink()
    shutil.rmtree(run / "checkpoints" / "step-00000003")
    assert accuracy.start([*command, "--keep"]) == 0
    assert "going on from" in (out / "logs" / f"{run.name}.log").read_text()
    assert (run / HELD_OUT).read_bytes() == finished
    assert (
        json.loads((tmp_path / "docs" / "accuracy-2-seeds-cpu.json").read_text())["experiments"]
        == record["experiments"]
    )
    assert (tmp_path / "docs" / "accuracy-2-seeds-cpu.png").is_file()


def test_a_failing_arm_ends_the_experiment_with_its_last_line(tmp_path):
    arm = arms_of()[0]
    (tmp_path / "logs").mkdir()
    (tmp_path / "configs").mkdir()
    arm.run(tmp_path).path.write_text("in the way")
    with pytest.raises(AccuracyError, match=r"vid2vid-O0-seed0 failed with status 2: error: .*is a file"):
        run_arms([arm], Setting(out=tmp_path, jobs=1), StopRequest(), lambda standing: None)


def test_whoever_asked_to_stop_is_told_how_to_go_on(tmp_path):
    with pytest.raises(Stopped, match=f"SIGTERM.*--out {tmp_path} goes on"):
        run_arms(arms_of(), Setting(out=tmp_path, jobs=1), StopRequest(requested="SIGTERM"), lambda standing: None)
    assert not any(arm.run(tmp_path).path.exists() for arm in arms_of())
