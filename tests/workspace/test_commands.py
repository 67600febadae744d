"""The environments, their scripts, and that the commands which documents tell people to type exist."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from prove_wheels import find_members

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENVIRONMENTS = WORKSPACE["tool"]["hatch"]["envs"]
MEMBERS = find_members()
SCRIPTS = {
    script if name == "default" else f"{name}:{script}": [lines] if isinstance(lines, str) else lines
    for name, environment in ENVIRONMENTS.items()
    for script, lines in environment.get("scripts", {}).items()
}
MAIN_JOB = "pip install hatch && hatch run train:vid2vid"
TESTS = "hatch run test"


def texts() -> list[Path]:
    """Every text in which somebody may look for a command."""
    found = [ROOT / ".ci" / "run", ROOT / "pyproject.toml", *ROOT.glob("*.md")]
    for folder in ("packages", "apps", "docs", "tools", ".github"):
        for ending in ("md", "py", "toml", "yml"):
            found += (ROOT / folder).rglob(f"*.{ending}")
    return sorted(path for path in found if ".venv" not in path.parts)


def test_there_are_the_promised_environments_and_scripts():
    assert ENVIRONMENTS.keys() == {"shared", "default", "train", "eval", "data", "bench"}
    assert SCRIPTS.keys() >= {
        "train:vid2vid",
        "train:few-shot",
        "eval:vid2vid",
        "data:check",
        "test",
        "test-all",
        "lint",
        "info",
        "check-wheels",
    }


@pytest.mark.parametrize("name", [name for name in ENVIRONMENTS if name != "shared"])
def test_an_environment_adds_nothing_but_scripts_to_the_shared_one(name):
    """Else Hatch would install something at every change of environment, or install PyTorch twice."""
    environment = ENVIRONMENTS[name]
    assert environment.keys() == {"description", "template", "scripts"}
    assert environment["template"] == "shared"


def test_the_shared_environment_holds_every_member():
    shared = ENVIRONMENTS["shared"]
    assert shared["path"] == ".venv"
    assert shared["skip-install"] is True
    assert shared["workspace"]["members"] == ["packages/*", "apps/*"]
    assert [member.folder.parent.name for member in MEMBERS].count("packages") == 9
    assert [member.folder.parent.name for member in MEMBERS].count("apps") == 3


def test_mypy_looks_at_every_member():
    settings = WORKSPACE["tool"]["mypy"]
    assert set(settings["packages"]) == {member.module for member in MEMBERS}
    searched = set(settings["mypy_path"].split(":"))
    assert {str((member.folder / "src").relative_to(ROOT)) for member in MEMBERS} <= searched


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_starts_something_that_exists(script):
    for line in SCRIPTS[script]:
        words = shlex.split(line)
        if words[:2] == ["python", "-m"]:
            module = words[2]
            found = importlib.util.find_spec(module)
            assert found is not None, line
            if found.submodule_search_locations is not None:
                assert importlib.util.find_spec(f"{module}.__main__") is not None, line
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), line


def test_every_command_that_is_mentioned_exists():
    mentioned = {
        (command, str(path.relative_to(ROOT)))
        for path in texts()
        for command in re.findall(r"\bhatch run ([a-z][\w-]*(?::[\w-]+)?)(?![\w-]|:\{)", path.read_text())
    }
    assert {(command, where) for command, where in mentioned if command not in {*SCRIPTS, "python"}} == set()


def test_the_readme_opens_with_the_two_commands_and_ci_runs_the_tests_with_the_same():
    commands = [
        line.strip()
        for block in re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert commands[:2] == [MAIN_JOB, TESTS]
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in ci if line in (TESTS, "hatch run lint", "hatch run check-wheels")] == [
        "hatch run lint",
        TESTS,
        "hatch run check-wheels",
    ]


def test_ci_can_be_started_and_is_what_the_workflow_starts():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "run: .ci/run\n" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_a_stored_result_says_how_to_repeat_it_when_and_where_it_ran_and_of_what():
    paths = sorted((ROOT / "docs" / "benchmarks").glob("*.json"))
    assert paths
    for path in paths:
        content = json.loads(path.read_text())
        machine = content.get("machine") or content["environment"]  # of a benchmark, or of an evaluation's report
        assert content["command"].startswith(("hatch run bench:", "hatch run eval:", "python tools/")), path.name
        assert content.get("measured_at") or content["measured"], path.name
        assert machine["cpu"], path.name
        assert machine["packages"]["torch"], path.name
        assert len(machine["git"]["revision"]) == 40, path.name
