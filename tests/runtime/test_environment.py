"""The description of the machine: what it says, and that nothing stops it."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from vs_runtime import __version__, describe_environment


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_it_says_what_runs_here_and_fits_into_json() -> None:
    described = describe_environment()
    assert described["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert described["packages"]["vs-runtime"] == __version__
    assert described["cpus_usable"] >= 1
    assert described["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert described["memory_bytes"] > 2**28
    assert json.loads(json.dumps(described)) == described


def test_it_knows_a_changed_checkout_from_a_clean_one(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    assert describe_environment(tmp_path)["git"] == {"revision": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "file").write_text("two")
    assert describe_environment(tmp_path)["git"]["dirty"] is True


def test_a_checkout_around_an_installed_package_is_not_taken_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    installed = tmp_path / ".venv/environment.py"
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr("vs_runtime.environment.__file__", str(installed))
    assert describe_environment()["git"] is None
    git(tmp_path, "add", "--force", ".venv")
    git(tmp_path, "commit", "-q", "-m", "second")
    assert describe_environment()["git"]["dirty"] is False


def test_nothing_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("os.sysconf", broken)
    monkeypatch.setattr("torch.backends.cudnn.version", broken)
    monkeypatch.setattr("torch.cuda.is_available", broken)
    monkeypatch.setattr("vs_runtime.environment._cpu_model", broken)
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    described = describe_environment(tmp_path)
    assert (described["memory_bytes"], described["cudnn"], described["gpus"], described["cpu"]) == (
        None,
        None,
        [],
        None,
    )
    assert described["git"] is None


def test_no_secret_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2")
    text = json.dumps(describe_environment())
    assert "hunter2" not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
