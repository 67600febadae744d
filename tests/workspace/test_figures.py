"""Figures in documents are what was measured: how they are written, and that all of them are."""

import json
import shutil

import figures
import pytest
from vs_config.commands import run_command


@pytest.fixture
def results(tmp_path):
    figures._read.cache_clear()
    cases = [{"name": "O0", "speedup": 1.0}, {"name": "O1", "speedup": 1.449}]
    sizes = [{"size": "a, b", "ours": 2.0}, {"size": "c", "ours": 3.25}, {"size": "twice"}, {"size": "twice"}]
    (tmp_path / "step.json").write_text(
        json.dumps({"cases": cases, "ops": {"spade": sizes}, "bytes": 12345678, "psnr/generated": {"value": 16.55}})
    )
    yield tmp_path
    figures._read.cache_clear()


TEXT = {"one": {"text": "{step/cases/O1/speedup:.1f}"}}
TABLE = {
    "head": ["size", "ours"],
    "cells": ["{step/ops/*/ours:.1f} times"],
    "rows": [["A", "spade/a, b"], ["C", "spade/c"]],
}


def test_every_figure_of_every_document_is_as_measured():
    if shutil.which("git") is None or not (figures.ROOT / ".git").exists():
        pytest.skip("documents are those that git tracks, and there is no checkout here")
    differing = figures.changed(figures.documents(), figures.read_figures())
    assert [str(file.relative_to(figures.ROOT)) for file in differing] == [], "hatch run figures"


def test_a_figure_is_written_between_its_marks_and_nothing_else_changes(results):
    text = "It is <!--=one-->9.9<!--/--> times as fast, <!--=one--><!--/-->.\n"
    new = figures.rewritten(text, TEXT, results)
    assert new == "It is <!--=one-->1.4<!--/--> times as fast, <!--=one-->1.4<!--/-->.\n"
    assert figures.rewritten(new, TEXT, results) == new


def test_a_table_has_a_row_for_each_size(results):
    new = figures.rewritten("Before:\n\n<!--=t-->old<!--/-->\n", {"t": TABLE}, results)
    assert new == (
        "Before:\n\n<!--=t-->\n\n| size | ours |\n| --- | --- |\n| A | 2.0 times |\n| C | 3.2 times |\n\n<!--/-->\n"
    )


def test_values_are_formatted_as_python_does(results):
    assert figures.filled("{step/bytes:,d} B, {step/cases/O1/speedup:.0%}", results) == "12,345,678 B, 145%"


def test_a_name_may_have_strokes(results):
    assert figures.filled("{step/psnr/generated/value:.1f} dB", results) == "16.6 dB"


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("x <!--=two-->1<!--/-->", TEXT, "no figure is called 'two'; figures.toml has one"),
        ("x <!--=one-->1", TEXT, "ends with <!--/-->"),
        ("x <!--=one-->1 <!--=one-->1<!--/-->", TEXT, "before the next begins"),
        ("x <!--=one two-->1<!--/-->", TEXT, "begins with <!--=NAME-->"),
        ("x\n  <!--=one-->1<!--/--> y", TEXT, "begins a line"),
        ("x <!--=a-->1<!--/-->", {"a": {"text": "{none/x:d}"}}, "none.json: cannot be read"),
        ("x <!--=a-->1<!--/-->", {"a": {"text": "{step/cases/O2/speedup:d}"}}, "nothing called 'O2'; there is O0, O1"),
        ("x <!--=a-->1<!--/-->", {"a": {"text": "{step/bytes/x:d}"}}, "nothing called 'x'; there is nothing"),
        ("x <!--=a-->1<!--/-->", {"a": {"text": "{step/ops/spade/twice:d}"}}, "2 called 'twice'"),
        ("x <!--=a-->1<!--/-->", {"a": {"text": "{step/cases:.1f}"}}, "cannot be written as '.1f'"),
        ("x <!--=a-->1<!--/-->", {"a": {"txt": "1"}}, "'a' needs text, or head, cells and rows"),
        ("x <!--=a-->1<!--/-->", {"a": 1}, "'a' needs text, or head, cells and rows"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(results, text, given, message):
    with pytest.raises(figures.FigureError) as caught:
        figures.rewritten(text, given, results)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def house(results, monkeypatch):
    """A house of one document, with one figure that is not as measured."""
    document = results / "README.md"
    document.write_text("It is <!--=one-->9.9<!--/--> times as fast.\n")
    (results / "figures.toml").write_text('one.text = "{step/cases/O1/speedup:.1f}"\n')
    monkeypatch.setattr(figures, "ROOT", results)
    monkeypatch.setattr(figures, "documents", lambda: [document])
    monkeypatch.setattr(figures, "RESULTS", results)
    return document


def test_the_command_says_what_differs_and_writes_it_when_asked(house, capsys):
    assert run_command(figures.app, figures.FigureError, arguments=["--check"]) == 1
    assert capsys.readouterr().out == "README.md: not as measured; hatch run figures\n"
    assert "9.9" in house.read_text()
    assert figures.main() == 0
    assert house.read_text() == "It is <!--=one-->1.4<!--/--> times as fast.\n"
    assert figures.main(check=True) == 0


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ('one.text = "{step/x:d}"', "README.md: step/x: nothing called 'x'; there is cases, ops, bytes"),
        ('one.text = "1"\nother.text = "2"', "figures.toml: no document cites other"),
        ("one = [", "figures.toml: cannot be read"),
    ],
)
def test_a_figure_that_is_not_there_is_one_line_and_exit_status_2(house, capsys, figure, message):
    (house.parent / "figures.toml").write_text(figure)
    assert run_command(figures.app, figures.FigureError, arguments=[]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")
    assert "9.9" in house.read_text()
