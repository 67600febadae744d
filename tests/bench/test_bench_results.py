"""What is made of measured series: tables, files that say where they come from, and commands that say what is wrong."""

import io
import json

import cyclopts
import pytest
import torch
from rich.console import Console
from vs_bench import results, tables
from vs_bench.errors import INPUT_ERRORS
from vs_bench.harness import Result, Series
from vs_bench.options import Count, Threads
from vs_config.commands import run_command


def result_of(unit, **seconds):
    cases = tuple(Series(name=name, seconds=tuple(values)) for name, values in seconds.items())
    return Result(unit=Series(name="unit", seconds=tuple(unit)), cases=cases, threads=2, device="cpu")


def test_the_table_shows_units_and_speed_up():
    result = result_of(unit=[0.5] * 3, slow=[2.0] * 3, fast=[0.25] * 3)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(tables.table_of(result, baseline="slow"))
    rows = {line.split("│")[1].strip(): line for line in console.export_text().splitlines() if line.startswith("│")}
    assert "2000.00" in rows["slow"]
    assert "4.000" in rows["slow"]
    assert "8.00" in rows["fast"]
    assert "0.500" in rows["fast"]


def test_the_file_holds_the_command_the_machine_and_every_measurement(tmp_path):
    result = result_of(unit=[0.5, 0.5], slow=[2.0, 4.0], fast=[1.0, 2.0])
    record = tables.as_record(result, baseline="slow")
    path = results.save_records(record, "step", command="hatch run bench:step", folder=tmp_path / "new")
    content = json.loads(path.read_text())
    assert path == tmp_path / "new" / "step.json"
    assert content["command"] == "hatch run bench:step"
    assert content["machine"]["packages"]["torch"] == torch.__version__
    assert content["threads"] == 2
    assert content["unit"]["seconds"] == [0.5, 0.5]
    fast = content["cases"][1]
    assert (fast["name"], fast["seconds"], fast["speedup"]["value"], fast["units"]) == ("fast", [1.0, 2.0], 2.0, 3.0)


def test_the_command_can_be_pasted_into_a_shell():
    assert results.command_of("bench:ops", ["--only", "a b"]) == "hatch run bench:ops --only 'a b'"


def test_a_result_says_when_and_of_which_revision_it_was_measured_not_saved(tmp_path, monkeypatch):
    machine = {"git": {"revision": "a" * 40, "dirty": False}, "cpu": "some"}
    monkeypatch.setattr(results, "describe_environment", lambda root: dict(machine))
    monkeypatch.setattr(results, "_code_differs", lambda: True)
    begun = results.begin()
    machine["git"] = {"revision": "b" * 40, "dirty": False}
    path = results.save_records({}, "x", command="c", folder=tmp_path, begun=begun)
    content = json.loads(path.read_text())
    assert content["machine"]["git"] == {"revision": "a" * 40, "dirty": True}
    assert content["measured_at"] == begun.measured_at
    assert begun.revision == "a" * 40 + "-dirty"


def test_results_that_others_cite_are_written_when_asked_for_alone():
    assert results.folder_of(store=True) == results.ROOT / "docs" / "benchmarks"
    assert results.folder_of(store=False) == results.ROOT / "runs" / "bench"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "rounds"),
        (["--rounds", "many"], "rounds"),
        (["--wrong", "1"], "--wrong"),
        (["--refuse"], "first second"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_one_line_and_exit_status_2(capsys, arguments, message):
    app = cyclopts.App()

    @app.default
    def main(*, rounds: Count = 1, refuse: bool = False):
        if refuse:
            raise SystemExit("first second")

    assert run_command(app, *INPUT_ERRORS, arguments=arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "nan", "99999999999", "x", "9" * 5000])
def test_a_number_that_cannot_be_is_one_line_and_status_2(given, capsys):
    def main(*, threads: Threads = 2):
        raise AssertionError(threads)

    assert run_command(main, arguments=["--threads", given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--threads: expected a whole number from 1 to 1024" in line
