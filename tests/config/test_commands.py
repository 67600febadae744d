"""From a function to a program: each mistake is one line and an exit status, and `--help` needs nothing else."""

import io
import os
import signal
import sys
from typing import Annotated, Literal

import pytest
from cyclopts import Parameter
from vs_config import Range
from vs_config.commands import FOLLOWED, option_of, run_command, status_of


class WrongError(Exception):
    pass


class WorseError(WrongError):
    pass


def raising(error):
    def program():
        raise error

    return program


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (WrongError("a\nb"), 2, r"error: a\nb"),
        (WorseError("c"), 3, "error: c"),
        (FileNotFoundError(2, "No such file", "x"), 2, "error: [Errno 2] No such file: 'x'"),
        (KeyboardInterrupt(), 130, "error: stopped; nothing was written"),
        (SystemExit("d"), 2, "error: d"),
    ],
)
def test_errors_are_lines_with_the_status_of_their_class(capsys, error, status, line):
    statuses = ((WorseError, 3), (WrongError, 2))
    stopped = "stopped; nothing was written"
    assert run_command(raising(error), statuses=lambda: statuses, stopped=stopped, arguments=[]) == status
    assert capsys.readouterr() == ("", f"{line}\n")


def test_errors_that_are_named_alone_have_the_status_of_wrong_input(capsys):
    assert run_command(raising(WorseError("a")), WrongError, label="tool", arguments=[]) == 2
    assert capsys.readouterr().err == "tool: a\n"


def test_a_defect_keeps_its_trace():
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError()), WrongError, arguments=[])
    assert status_of(ZeroDivisionError(), ((WrongError, 2),)) is None


def test_words_that_the_program_does_not_know_are_one_line(capsys):
    assert run_command(lambda: 0, arguments=["--colour", "red"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert not line.endswith(".")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--steps", "0"], "--steps: expected a whole number from 1 to 9, got '0'"),
        (["--many", "1", "1.5"], "--many: expected a whole number from 1 to 9, got '1.5'"),
        (["--level", "O2"], "--level: expected one of 'O0', 'O1', got 'O2'"),
        (["--few"], "--few: nothing follows it; name what it is for, or leave it out"),
        (["--plain", "x"], "--plain: expected a whole number, got 'x'"),
        (["x"], "HEAT: expected a number, got 'x'"),
    ],
)
def test_a_wrong_value_of_an_option_is_said_as_one_of_a_configuration(capsys, words, line):
    digits = Range(kind=int, low=1, high=9)

    def program(
        heat: float = 1.0,
        /,
        *,
        steps: Annotated[int, option_of(digits)] = 1,
        many: Annotated[tuple[int, ...], option_of(digits, several=True), Parameter(consume_multiple=True)] = (),
        few: Annotated[tuple[int, ...], FOLLOWED] = (),
        level: Literal["O0", "O1"] = "O0",
        plain: int = 1,
    ):
        return steps + sum(many) + sum(few)

    assert run_command(program, arguments=["--steps", "2", "--many", "3", "4"]) == 9
    assert run_command(program, arguments=["--few", "3", "4", "--many", "1"]) == 9
    assert run_command(program, arguments=words) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


def test_what_can_go_wrong_is_asked_only_once_something_has():
    def imports():
        raise AssertionError("asked")

    assert run_command(lambda: 7, statuses=imports, arguments=[]) == 7
    assert run_command(lambda: "text", statuses=imports, arguments=[]) == 0


def test_sigterm_undoes_what_is_half_done(tmp_path):
    before = signal.getsignal(signal.SIGTERM)

    def program():
        try:
            (tmp_path / "draft").touch()
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            (tmp_path / "draft").unlink()

    with pytest.raises(SystemExit) as caught:
        run_command(program, arguments=[])
    assert caught.value.code == 143
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_reader_that_leaves_is_told_at_the_end(capsys, monkeypatch):
    class Broken(io.StringIO):
        def write(self, _):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Broken())
    assert run_command(lambda: print("result"), arguments=[]) == 2
    assert capsys.readouterr().err == "error: standard output could not be written: [Errno 32] Broken pipe\n"
