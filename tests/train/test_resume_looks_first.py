"""A run that cannot be gone on with is named what is wrong with it, and is byte for byte what it was."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import vs_runtime as runtime
from faults import everything, run, run_config, same
from vs_config import render_config
from vs_runtime.metrics_log import MetricsLog
from vs_runtime.run_directory import RunDirectory
from vs_train import training
from vs_train.cli import main
from vs_train.recovery import roll_back
from vs_train.resuming import resume_state
from vs_train.setup import Prepared, prepare
from vs_training.errors import VsTrainingError

CONFIG = run_config(
    run={"steps": 3, "checkpoint_every": 2, "sample_every": 9}, data={"height": 16, "width": 32, "sequence_length": 4}
)
REFUSED = (VsTrainingError, runtime.VsRuntimeError)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    run(CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(CONFIG, check=False)


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def snapshot(path: Path) -> dict[str, Any]:
    return {
        str(file.relative_to(path)): (file.stat().st_mtime_ns, file.read_bytes() if file.is_file() else None)
        for file in [path, *path.rglob("*")]
    }


def refuse(path: Path, prepared: Prepared, message: str) -> None:
    """See that resuming says this, in one line, and writes nothing."""
    before = snapshot(path)
    with pytest.raises(REFUSED, match=message) as caught:
        resume_state(RunDirectory(path), prepared, lambda _: None)
    assert "\n" not in str(caught.value)
    assert snapshot(path) == before


def forge(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Put something else into the newest checkpoint, with a checksum that fits."""
    loaded = runtime.load_latest(path / "checkpoints")
    changed = change(loaded.state)
    state = loaded.state if changed is None else changed
    runtime.save_checkpoint(path / "checkpoints", step=loaded.step, state=state, keep=9)


def weight(state: dict[str, Any], make: Callable[[torch.Tensor], torch.Tensor]) -> None:
    name = next(iter(state["generator"]))
    state["generator"][name] = make(state["generator"][name])


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "list for a state": (lambda s: [s], "is not the checkpoint of a run"),
    "null for a mapping": (lambda s: s.update(scaling=None), r"scaling: expected a mapping, got nothing"),
    "text for a mapping": (lambda s: s.update(generator="x"), r"generator: expected a mapping, got text"),
    "list for a mapping": (lambda s: s.update(random=[]), r"random: expected a mapping, got a list"),
    "number for a table": (lambda s: s.update(fixed=5), "its fixed part of the configuration is no mapping"),
    "metrics of another kind": (lambda s: s.update(metrics=[]), "its fingerprint of the metrics is no mapping"),
    "step as text": (lambda s: s.update(step="3"), r"step: expected a whole number, got text"),
    "step as boolean": (lambda s: s.update(step=True), r"step: expected a whole number, got true or false"),
    "step as float": (lambda s: s.update(step=3.0), r"step: expected a whole number, got a number with"),
    "negative count": (lambda s: s.update(updates=-1), r"updates: expected a whole number from 0 on, got -1"),
    "endless count": (lambda s: s.update(updates=10**300), r"updates: expected a whole number from 0 on"),
    "another step": (lambda s: s.update(step=2), "its state is of step 2"),
    "scale of no number": (lambda s: s["scaling"]["generator"].update(scale=float("nan")), r"scale: expected a finite"),
    "optimizer without entries": (lambda s: s["generator_optimizer"].update(params=None), r"params: expected a list"),
    "optimizer of integers": (
        lambda s: s["generator_optimizer"]["params"][0].update(exp_avg=torch.zeros(1, dtype=torch.int64)),
        r"exp_avg: expected float32",
    ),
    "no average": (lambda s: s.pop("average") and None, r"average: is missing"),
    "one more": (lambda s: s.update(more=1), r"more: is not expected here"),
    "integers": (lambda s: weight(s, lambda x: x.long()), r"generator\..*: expected float32 .*, got int64"),
    "booleans": (lambda s: weight(s, lambda x: x > 0), r"generator\..*: expected float32 .*, got bool"),
    "half": (lambda s: weight(s, lambda x: x.half()), r"generator\..*: expected float32 .*, got float16"),
    "shape": (lambda s: weight(s, lambda x: x[:1]), r"generator\..*: expected float32 \(.*, got float32 \("),
    "nan": (lambda s: weight(s, lambda x: x * float("nan")), r"generator\..*: is not finite"),
    "position of random words": (lambda s: s["random"]["numpy"].update(pos=10**6), "random state"),
    "python's random words": (
        lambda s: s["random"].update(python=(3, (0.5,) * 625, None)),
        r"random\.python\.1\.0: expected a whole number",
    ),
    "another run's": (
        lambda s: s["fixed"].update(seed=99),
        r"toml: seed: expected 99, with which the run was trained, got 0",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_checkpoint_of_another_form_is_refused_though_its_checksum_holds(
    copy: Path, prepared: Prepared, name: str
) -> None:
    change, message = FORGERIES[name]
    forge(copy, change)
    refuse(copy, prepared, message)


def edit_lines(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    metrics = path / "metrics.jsonl"
    metrics.write_text("".join(change(metrics.read_text().splitlines(keepends=True))))


LOSSES: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "all": (lambda _: [], "ends with step 0 instead of 3"),
    "the last": (lambda found: found[:-1], "ends with step 2 instead of 3"),
    "the first": (lambda found: found[1:], "begins with step 2"),
    "the middle": (lambda found: [found[0], found[2]], "line 2 is of step 3, and the one before of step 1"),
    "twice": (lambda found: [*found, found[-1]], "line 4 is of step 3, and the one before of step 3"),
    "cut": (lambda found: [*found[:2], found[2][:-9]], "ends with step 2 instead of 3"),
    "altered": (lambda found: [found[0].replace('"frames": 1', '"frames": 2'), *found[1:]], "lines were altered"),
    "boolean step": (lambda found: [found[0].replace('"step": 1', '"step": true'), *found[1:]], "line 1 is not a line"),
    "no object": (lambda found: ["[1]\n", *found[1:]], "line 1 is not a line"),
    "too deep": (lambda found: [found[0], "[" * 10**5 + "\n"], "line 2 is not a line"),
    "endless number": (lambda found: [f'{{"step": {"9" * 5000}}}\n', *found[1:]], "line 1 is not a line"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_metrics_that_lost_or_changed_lines_are_named(copy: Path, prepared: Prepared, name: str) -> None:
    change, message = LOSSES[name]
    edit_lines(copy, change)
    refuse(copy, prepared, rf"metrics\.jsonl: .*{message}")


def test_lost_metrics_can_be_given_up_by_saying_so(copy: Path, prepared: Prepared) -> None:
    (copy / "metrics.jsonl").unlink()
    refuse(copy, prepared, 'go on without it by one line {"lost": 3} in its place')
    (copy / "metrics.jsonl").write_text('{"lost": 3}\n')
    assert resume_state(RunDirectory(copy), prepared, lambda _: None).step == 3
    run(attrs.evolve(CONFIG, run=attrs.evolve(CONFIG.run, steps=4)), copy, resume=True)
    first, second = (json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines())
    assert (first, second["step"]) == ({"lost": 3}, 4)
    MetricsLog(copy / "metrics.jsonl").check(4, runtime.load_latest(copy / "checkpoints").state["metrics"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr = 0.001", "lr = 0.003", r"config\.toml: optim\.generator\.lr: expected 0\.001, .*, got 0\.003"),
        ("seed = 0", "seed = 1", r"config\.toml: seed: expected 0, with which the run was trained, got 1"),
        ("max_skips = 30", "max_skips = 38", r"config\.toml: optim\.scaler\.max_skips: expected 30, .*, got 38"),
    ],
)
def test_an_edited_configuration_is_noticed_by_the_command_and_nothing_is_written(
    copy: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    config = copy / "config.toml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new, 1))
    before = snapshot(copy)
    assert main(["vid2vid", "--resume", str(copy), "run.steps=9"]) == 2
    assert re.search(message, capsys.readouterr().err.splitlines()[-1])
    assert snapshot(copy) == before


def test_what_may_change_may_be_edited(copy: Path) -> None:
    config = attrs.evolve(
        CONFIG, run=attrs.evolve(CONFIG.run, steps=5), loader=attrs.evolve(CONFIG.loader, workers=0, prefetch=3)
    )
    resume_state(RunDirectory(copy), prepare(config, check=False), lambda _: None)


def test_a_damaged_configuration_is_noticed_before_the_first_checkpoint_too(copy: Path, prepared: Prepared) -> None:
    shutil.rmtree(copy / "checkpoints")
    environment = json.loads((copy / "environment.json").read_text())
    assert resume_state(RunDirectory(copy), prepared, lambda _: None) is prepared.state
    other = attrs.evolve(prepared, config=attrs.evolve(CONFIG, seed=5))
    refuse(copy, other, r"seed: expected 0, .*, got 5, says the run's environment\.json")
    environment["environment"] = {}
    (copy / "environment.json").write_text(json.dumps(environment))
    refuse(copy, prepared, r"environment\.json is damaged: its checksum does not hold")


@pytest.mark.parametrize("name", ["samples", "checkpoints", "tensorboard"])
def test_files_where_folders_should_be_are_named(copy: Path, prepared: Prepared, name: str) -> None:
    shutil.rmtree(copy / name, ignore_errors=True)
    (copy / name).write_text("x")
    refuse(copy, prepared, f"{name}: is not a directory")


def test_a_run_of_an_older_version_goes_on(copy: Path, prepared: Prepared) -> None:
    def older(state: dict[str, Any]) -> None:
        scaling = state.pop("scaling")
        for network in ("generator", "discriminator"):
            state[f"{network}_scaler"] = {k: v for k, v in scaling[network].items() if k != "skips_in_row"}
        for key in ("fixed", "metrics", "roll_backs"):
            del state[key]

    expected = everything(resume_state(RunDirectory(copy), prepared, lambda _: None))
    forge(copy, older)
    marker = json.loads((copy / "environment.json").read_text())
    (copy / "environment.json").write_text(json.dumps({k: marker[k] for k in marker if k not in ("fixed", "sha256")}))
    (copy / "lock").unlink()
    assert same(everything(resume_state(RunDirectory(copy), prepared, lambda _: None)), expected)


def test_a_roll_back_refuses_when_all_checkpoints_are_damaged(copy: Path, prepared: Prepared) -> None:
    for path in (copy / "checkpoints").iterdir():
        (path / "state.json").write_text("{")
    before = snapshot(copy)
    with pytest.raises(runtime.NoCheckpoint, match=r"step-00000003: state\.json"):
        roll_back(prepared, RunDirectory(copy), 1)
    refuse(copy, prepared, "step-00000003: state.json")
    assert snapshot(copy) == before


def test_what_a_kill_left_half_written_is_swept_when_the_run_goes_on(copy: Path) -> None:
    left = [
        copy / ".config.toml.1-00000000.00000000.partial",
        copy / "samples" / ".step-00000003.mp4.0011aabb.partial",
        copy / "checkpoints" / ".writing-step-00000004-17",
    ]
    for path in left:
        path.mkdir()
    config = attrs.evolve(CONFIG, run=attrs.evolve(CONFIG.run, steps=4))
    run(config, copy, resume=True)
    assert not [path for path in left if path.exists()]
    assert not list(copy.rglob(".*"))
    assert (copy / "config.toml").read_text() == render_config(config)


@pytest.mark.parametrize("name", ["metrics.jsonl", "tensorboard", "samples", "checkpoints", "."])
def test_what_is_removed_under_a_running_process_ends_it_in_one_line(
    copy: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original = training.train_clip

    def removing(*arguments: Any) -> Any:
        path = copy / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return original(*arguments)

    first = iter([original])  # the files are open before they go
    monkeypatch.setattr(training, "train_clip", lambda *arguments: next(first, removing)(*arguments))
    config = attrs.evolve(CONFIG, run=attrs.evolve(CONFIG.run, steps=6, sample_every=5, checkpoint_every=5))
    with pytest.raises(VsTrainingError, match=r"was removed") as caught:
        run(config, copy, resume=True)
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)
    assert copy.exists() == (name != ".")
