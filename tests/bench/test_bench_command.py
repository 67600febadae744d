"""The command line of the benchmarks: which commands there are, and what each of them is given."""

import subprocess
import sys

import pytest
from vs_bench import stream
from vs_bench.__main__ import main
from vs_bench.operators import command as operators
from vs_bench.results import command_of
from vs_bench.step import command as step

QUICK_HELP = "import sys, vs_bench.__main__ as it; it.main(['--help']); sys.exit('torch' in sys.modules)"


def test_help_names_the_commands_and_needs_no_pytorch():
    done = subprocess.run([sys.executable, "-c", QUICK_HELP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(command in done.stdout for command in ("step", "stream", "operators", "busy", "accuracy"))


@pytest.mark.parametrize(
    ("command", "option"),
    [("step", "--impl"), ("stream", "--level"), ("operators", "--only"), ("busy", "--policy"), ("accuracy", "--seeds")],
)
def test_each_command_has_help_of_its_own(command, option, capsys):
    assert main([command, "--help"]) == 0
    assert option in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stepp"], 'Did you mean "step"'),
        (["step", "--rounds", "0"], "--rounds: expected a whole number from 1"),
        (["step", "--wrong", "1"], "--wrong"),
        (["step", "--rounds", "1", "run.stepz=1"], "run.stepz"),
        (["step", "--preset", "street-tinny"], "street-tiny"),
        (["step", "--against", "HEAD", "loader.batch_size=auto"], "loader.batch_size: expected a number of clips"),
        (["step", "--compare", "loader.batch_size=auto"], "loader.batch_size: expected a number of clips"),
        (["step", "--impl", "fast"], "--impl: expected one of 'reference', "),
        (["stream", "--streams", "0"], "--streams: expected a whole number from 1"),
        (["stream", "--level", "float64"], "--level: expected one of 'float32', "),
        (["stream", "--baseline", "streets"], "--baseline: expected one of 'street', "),
        (["operators", "--only", "spode"], "--only: expected one of "),
        (["operators", "--only", "spode"], "got 'spode'; did you mean 'spade'?"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_status_2(arguments, message, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_what_is_measured_can_be_repeated_by_its_script(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vs_bench", "step", "--rounds", "3", "data.height=64"])
    assert command_of("bench:step") == "hatch run bench:step --rounds 3 data.height=64"


def test_options_reach_the_command(monkeypatch):
    given = []
    monkeypatch.setattr(step, "variant_of", lambda impl, compare: given.append((impl, compare)))
    monkeypatch.setattr(step, "choose_device", lambda name: sys.exit(7))
    with pytest.raises(SystemExit, match="7"):
        main(["step", "--compare", "a.b=1", "--compare=c=2", "run.steps=3"])
    assert given == [(None, ("a.b=1", "c=2"))]


@pytest.mark.parametrize(("command", "module"), [("step", step), ("stream", stream), ("operators", operators)])
def test_ctrl_c_is_one_line_and_status_130(command, module, monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "choose_device", interrupted)
    assert main([command]) == 130
    assert capsys.readouterr().err == "error: stopped\n"
