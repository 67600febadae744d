"""Every option of every command: numbers have bounds, paths can be, and what is shown of names is text."""

import io
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from rich.console import Console
from vs_eval import app
from vs_eval.pages.content import Page, Section
from vs_eval.pages.render import render
from vs_eval.report import Table
from vs_eval.terminal import say, show_tables

COMMANDS = {
    "vid2vid": app.vid2vid,
    "few-shot": app.few_shot,
    "numerics": app.numerics,
    "package": app.package,
    "report": app.report_pages,
}
TYPES = [(name, *hint) for name, command in COMMANDS.items() for hint in typing.get_type_hints(command).items()]
KINDS = (int | None, int | typing.Literal["best"] | None, float | None, float, tuple[int, ...])
NUMBERS = [(name, option) for name, option, kind in TYPES if kind in KINDS]
PATHS = [(name, option) for name, option, kind in TYPES if kind == Path | None and option != "run"]


def refused(capsys, command, option, value):
    with pytest.raises(SystemExit) as caught:
        app.main([command, f"--{option.replace('_', '-')}", value])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --{option.replace('_', '-')}: expected a"), line


def test_all_numbers_and_paths_are_found():
    assert {option for _, option in NUMBERS} == {"checkpoint", "clips", "frames", "references", "loss_scale", "max_mb"}
    assert {option for _, option in PATHS} == {"out", "data"}


@pytest.mark.parametrize(("command", "option"), NUMBERS)
@pytest.mark.parametrize("value", ["1" + "0" * 31, "9" * 5000, "nan", "inf", "1e400", "-1", "", "x"])
def test_numbers_have_bounds(capsys, command, option, value):
    refused(capsys, command, option, value)


@pytest.mark.parametrize(("command", "option"), PATHS)
@pytest.mark.parametrize("value", ["", "n" * 256, "o\udcff", "o\nerror: lost"])
def test_paths_can_be(capsys, command, option, value):
    refused(capsys, command, option, value)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["vid2vid", "run", "--features"], "--features"),
        (["vid2vid", "--features", "--clips", "1"], "--features"),
        (["few-shot", "--features"], "--features"),
        (["few-shot", "--references"], "--references"),
        (["drift", "--features"], "--features"),
        (["export", "--size"], "--size"),
    ],
)
def test_an_option_that_nothing_follows_is_not_left_out(capsys, tmp_path, monkeypatch, words, option):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        app.main(words)
    assert caught.value.code == 2
    expected = f"error: {option}: nothing follows it; name what it is for, or leave it out\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("command", ["vid2vid", "few-shot", "drift"])
@pytest.mark.parametrize("value", ["", "o\nerror: lost"])
def test_files_of_networks_can_be(capsys, command, value):
    refused(capsys, command, "features", value)


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_a_licence_of_no_words_is_none(capsys, value):
    refused(capsys, "package", "licence", value)


HOSTILE = "x\x1b[2J\nerror: lost [red]y[/red] <b>\udcff"
SEEN = r"x\x1b[2J\nerror: lost [red]y[/red] <b>\udcff"


def test_names_are_text_on_a_terminal():
    stream = io.StringIO()
    console = Console(file=stream, width=200, force_terminal=True, color_system=None)
    say(console, HOSTILE)
    show_tables([Table(title=HOSTILE, heads=("clip",), rows=((HOSTILE,),), note=HOSTILE)], console)
    assert stream.getvalue().count(SEEN) == 4


def test_names_are_text_on_a_page():
    section = Section(ident="a", title=HOSTILE, texts=(HOSTILE,), facts=(("a", HOSTILE),))
    page = render(Page(title=HOSTILE, kind="Run", sections=(section,)))
    assert page.encode("utf-8")
    assert SEEN.replace("<b>", "&lt;b&gt;") in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_one_line(capsys, monkeypatch, error):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr("vs_eval.vid2vid.evaluate_vid2vid", fail)
    with pytest.raises(SystemExit) as caught:
        app.main(["vid2vid"])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: memory is too small (")
    assert "--frames" in line


def test_a_defect_keeps_its_traceback(monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError("a bug")

    monkeypatch.setattr("vs_eval.vid2vid.evaluate_vid2vid", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        app.main(["vid2vid"])


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_standard_output_that_cannot_be_written_is_said_or_not_missed(redirection):
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    command = f'exec "{sys.executable}" -m vs_eval --version {redirection}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == (2 if "full" in redirection else 0)
    assert done.stderr.count("\n") == ("full" in redirection), done.stderr
