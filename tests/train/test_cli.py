"""The command line with a training that takes no time in the place of the real one."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from vs_config import render_config, whole
from vs_config.progress import Progress
from vs_config.signals import StopRequest
from vs_runtime.run_directory import RunDirectory, create_run, open_run
from vs_train.cli import Job, main
from vs_training.errors import NonFiniteError, VsTrainingError
from vs_training.presets import list_presets, read_preset


@attrs.frozen(kw_only=True)
class Run:
    steps: int = whole(3, "steps", low=1, high=100)


@attrs.frozen(kw_only=True)
class Config:
    lr: float = 1e-3
    run: Run = Run()


@attrs.frozen
class Outcome:
    step: int
    finished: bool


@attrs.define
class Trainer:
    """Stands for `train`: remembers what it was called with, and does what `act` does."""

    act: Any = None
    calls: list[tuple[Config, RunDirectory, bool]] = attrs.Factory(list)
    steps: ClassVar[int] = 3

    def job(self) -> Job:
        return Job(Config, self.train)

    def train(
        self, config: Config, run: RunDirectory, *, resume: bool, progress: Progress, stop: StopRequest
    ) -> Outcome:
        self.calls.append((config, run, resume))
        if not resume:
            create_run(run, config=render_config(config), environment={})
        if self.act:
            self.act()
        progress.message("trained")
        return Outcome(config.run.steps, stop.requested is None)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def config(here: Path) -> Path:
    (here / "my.toml").write_text("lr = 0.5\n")
    return here / "my.toml"


def run_cli(*arguments: str, trainer: Trainer | None = None) -> int:
    return main(["vid2vid", *arguments], load_job=(trainer or Trainer()).job)


def files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


def test_a_file_with_overrides_is_trained_into_a_new_directory(
    config: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer()
    assert run_cli("--config", "my.toml", "run.steps=7", "--out", "new", trainer=trainer) == 0
    assert trainer.calls == [(Config(lr=0.5, run=Run(steps=7)), RunDirectory(Path("new")), False)]
    captured = capsys.readouterr()
    assert captured.err == "trained\n"
    assert captured.out.splitlines() == [
        "done: new: samples/, checkpoints/, tensorboard/, metrics.jsonl, config.toml",
        "look at what it learnt: hatch run eval:vid2vid new",
    ]


def test_a_run_gets_a_name_from_its_file(config: Path, here: Path) -> None:
    assert run_cli("--config", "my.toml") == 0
    (path,) = (here / "runs").iterdir()
    assert path.name.startswith("my-20")


def test_print_config_writes_a_file_that_gives_the_same(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = Trainer()
    assert run_cli("--config", "my.toml", "run.steps=7", "--print-config", trainer=trainer) == 0
    written = capsys.readouterr().out
    assert trainer.calls == []
    assert tomllib.loads(written) == {"lr": 0.5, "run": {"steps": 7}}
    config.write_text(written)
    assert run_cli("--config", "my.toml", "--print-config") == 0
    assert capsys.readouterr().out == written


def test_resume_takes_the_runs_own_configuration(config: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("--config", "my.toml", "--out", "new") == 0
    trainer = Trainer()
    assert run_cli("--resume", "new", "run.steps=9", trainer=trainer) == 0
    assert trainer.calls == [(Config(lr=0.5, run=Run(steps=9)), RunDirectory(Path("new")), True)]
    capsys.readouterr()
    assert run_cli("--resume", "new", "lr=1", "run.steps=2", "x.y=3") == 2
    taken = (
        "run.*, memory.checkpoint, performance.keep_memory, performance.give_way, performance.graphs, device, "
        "loader.workers, loader.prefetch, loader.start_method, loader.timeout, distributed.timeout, "
        "distributed.check_every"
    )
    reason = f"would change what is computed; --resume takes overrides of {taken} only"
    assert capsys.readouterr().err.splitlines() == [
        f"error: command line: lr: {reason}",
        f"error: command line: x.y: {reason}",
    ]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--config", "my.toml", "lr=fast"], ["command line: lr: expected a number, got 'fast'"]),
        (["--config", "my.toml", "lrr=1"], ["command line: lrr: unknown key; did you mean 'lr'?"]),
        (["--config", "my.toml", "fast"], ["command line: expected dotted.path=value, got 'fast'"]),
        (
            ["--config", "bad.toml"],
            ["bad.toml: run.steps: expected a whole number from 1 to 100, got 0", "bad.toml: rn: unknown key; did you"],
        ),
        (["--config", "none.toml"], ["none.toml: cannot be read: No such file or directory"]),
        (["--config", "broken.toml"], ["broken.toml: is not TOML: "]),
        (["--config", "my.toml", "--preset", "street-tiny"], ["--preset and --config exclude each other"]),
        (["--preset", "strete-tiny"], ["there is no preset 'strete-tiny'; "]),
        (["--config", "my.toml", "--out", "full"], ["full: is not empty, and what is in it is not a run"]),
        (["--config", "my.toml", "--out", "my.toml"], ["my.toml: is a file, not a directory"]),
        (["--resume", "nowhere"], ["nowhere: there is no such directory"]),
        (["--resume", "full"], ["full: not a run: it has no config.toml"]),
        (["--resume", "full", "--out", "x"], ["--resume goes on with the run's own configuration and directory: drop"]),
        (["--resume", "full", "--preset", "x"], ["--resume goes on with the run's own"]),
        (["--config", "my.toml", "--lr=3"], ["Unknown option: --lr=3; overrides have no dashes: path=value"]),
        (["--out"], ["Command vid2vid parameter --out requires an argument"]),
    ],
)
def test_wrong_input_is_one_line_a_problem_and_leaves_nothing(
    config: Path, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], lines: list[str]
) -> None:
    (here / "bad.toml").write_text("rn = 3\n[run]\nsteps = 0\n")
    (here / "broken.toml").write_text("[[[")
    (here / "full").mkdir()
    (here / "full" / "thesis.tex").write_text("")
    before = files(here)
    trainer = Trainer()
    assert run_cli(*arguments, trainer=trainer) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    shown = captured.err.splitlines()
    assert len(shown) == len(lines)
    for line, expected in zip(shown, lines, strict=True):
        assert line.replace('"', "").startswith(f"error: {expected}")
    assert files(here) == before
    assert trainer.calls == []


def test_of_two_overrides_for_a_path_the_last_counts_and_is_said_to(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("--config", "my.toml", "run.steps=7", "run.steps=8", "--print-config") == 0
    said = capsys.readouterr()
    assert said.err == "warning: run.steps is given 2 times: the last one counts\n"
    assert "steps = 8" in said.out


def test_everything_that_is_wrong_is_said_at_once(config: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("lrr = 3\n[run]\nsteps = 0\n")
    (here / "full").mkdir()
    (here / "full" / "thesis.tex").write_text("")
    before = files(here)
    arguments = ("--config", "my.toml", "--presett=x", "lr=fast", "run.stepz=1", "y", "--out", "full")
    assert run_cli(*arguments) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: Unknown option: --presett=x; did you mean 'preset'?",
        "error: full: is not empty, and what is in it is not a run; choose another --out",
        "error: command line: expected dotted.path=value, got 'y'",
        "error: command line: run.stepz: unknown key; did you mean 'steps'?",
        "error: command line: lr: expected a number, got 'fast'",
        "error: my.toml: run.steps: expected a whole number from 1 to 100, got 0",
        "error: my.toml: lrr: unknown key; did you mean 'lr'?",
    ]
    assert files(here) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", ""], "--out: expected a path that is not empty"),
        (["--config", ""], "--config: expected a path that is not empty"),
        (["--resume", ""], "--resume: expected a path that is not empty"),
        (["--preset", ""], "there is no preset ''"),
        (["--preset", "p" * 300], "there is no preset 'ppp"),
        (["--out", "o" * 250], "--out: the name of a run has at most 200 bytes"),
        (["--out", "o" * 256], "--out: expected a path whose names have at most 255 bytes"),
        (["--config", "c" * 256], "--config: expected a path whose names have at most 255 bytes"),
        (["--out", "~nobody-of-that-name/o"], "--out: there is no such user: '~nobody-of-that-name/o'"),
        (["--out", "o\udcff"], "--out: expected a path in UTF-8"),
        (["--out", "o\nerror: lost"], "--out: expected a path without control characters"),
        (["--config", "pipe"], "pipe: is a named pipe, not a file"),
        (["--config", "."], ".: is a directory, not a file"),
    ],
)
def test_odd_names_are_refused_in_one_line(
    config: Path, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    os.mkfifo(here / "pipe")
    before = files(here)
    given = arguments if "--out" not in arguments else ["--config", "my.toml", *arguments]
    assert run_cli(*given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")
    assert files(here) == before


def test_a_long_name_of_a_file_makes_a_shorter_name_of_a_run(config: Path, here: Path) -> None:
    config.rename(here / ("n" * 240 + ".toml"))
    assert run_cli("--config", "n" * 240 + ".toml") == 0
    (path,) = (here / "runs").iterdir()
    assert path.name.startswith("n" * 50 + "-20")


def raising(error: Exception) -> Any:
    def act() -> None:
        raise error

    return act


def test_errors_of_every_package_become_lines_and_defects_do_not(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import vs_data
    import vs_optim

    cases: list[tuple[Exception, int, str]] = [
        (VsTrainingError("a"), 2, "a"),
        (vs_data.VsDataError("clips/1.png: broken"), 2, "clips/1.png: broken"),
        (FileNotFoundError(2, "No such file", "x"), 2, "[Errno 2] No such file: 'x'"),
        (NonFiniteError(step=3, what="loss g", frame=2), 3, "step 3: loss g is not finite (frame 2)"),
        (vs_optim.StateError("Adam", "does not fit"), 2, "Adam: does not fit"),
    ]
    for number, (error, status, text) in enumerate(cases):
        assert run_cli("--config", "my.toml", "--out", f"o{number}", trainer=Trainer(raising(error))) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {text}")
    with pytest.raises(ValueError, match="defect"):
        run_cli("--config", "my.toml", "--out", "o", trainer=Trainer(raising(ValueError("defect"))))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on(
    config: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals, status: int
) -> None:
    trainer = Trainer(lambda: signal.raise_signal(number))
    assert run_cli("--config", "my.toml", "--out", "my run", trainer=trainer) == status
    line = f"stopped after step 3 ({number.name}); go on with: hatch run train:vid2vid --resume 'my run'"
    assert capsys.readouterr().err.splitlines() == ["trained", line]


def test_ctrl_c_twice_stops_at_once(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    assert run_cli("--config", "my.toml", "--out", "o", trainer=Trainer(twice)) == 130
    assert capsys.readouterr().err.splitlines() == [
        "stopped at once; go on from the last checkpoint with: hatch run train:vid2vid --resume o"
    ]


def test_presets_are_files_with_a_description(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("# What it is\n# for.\n#\n# More.\n\n# not this\nlr = 3\n")
    (tmp_path / "a.toml").write_text("lr = 3\n")
    (tmp_path / "README.md").write_text("")
    first, second = list_presets(tmp_path)
    assert (first.name, first.description, first.summary) == ("a", "", "")
    assert (second.name, second.description) == ("b", "What it is\nfor.\n\nMore.")
    assert second.summary == "What it is for."
    assert read_preset("b", tmp_path).document == {"lr": 3}
    assert list_presets(tmp_path / "nowhere") == ()


def test_help_is_quick_and_complete() -> None:
    """PyTorch must not be imported for it."""
    program = "import sys; from vs_train.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, "vid2vid", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stderr
    for word in ("--preset", "--config", "--out", "--resume", "--print-config", "--list-presets", "street-tiny"):
        assert word in done.stdout
    assert "hatch run train:vid2vid [OPTIONS] [DOTTED.PATH=VALUE ...]" in done.stdout


def test_a_run_made_by_the_command_is_a_run(config: Path) -> None:
    assert run_cli("--config", "my.toml", "--out", "o") == 0
    assert open_run(Path("o")) == RunDirectory(Path("o"))


def test_ctrl_c_before_training_is_one_line(config: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> Job:
        raise KeyboardInterrupt

    assert main(["vid2vid", "--config", str(config)], load_job=interrupted) == 130
    assert capsys.readouterr().err == "error: stopped before training began; nothing was written\n"
