"""The step beside another revision's: the other's sources, the processes that make steps, and what counts how much."""

import math
import os
import subprocess
from pathlib import Path

import attrs
import psutil
import pytest
import torch
from toy_runs import FEW_SHOT
from vs_bench.__main__ import main
from vs_bench.errors import VsBenchError
from vs_bench.harness import Result, Series
from vs_bench.results import ROOT
from vs_bench.step import stepper, worker
from vs_bench.step.against import averaged
from vs_bench.step.revision import Sources, find_revision, sources_of
from vs_bench.step.stepper import steppers
from vs_bench.step.subject import Stage, stages_of
from vs_config import resolve_config, tuning
from vs_training.config import PerformanceConfig, TrainConfig
from vs_training.curriculum import CurriculumConfig, images_between
from vs_training.presets import list_presets

PARROT = """
import json, sys, time
plan = json.loads(sys.stdin.readline())
print(json.dumps({"sources": plan.get("sources", __file__)}), flush=True)
for line in sys.stdin:
    if line == "die\\n":
        raise ValueError("one\\ntwo")
    if line == "vanish\\n":
        sys.exit(3)
    print(json.dumps(line), flush=True)
"""


def git(directory, *arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    place = tmp_path / "repository"
    place.mkdir()
    git(place, "init", "-q")
    for text in ("old", "new"):
        (place / "packages").mkdir(exist_ok=True)
        (place / "packages" / "file").write_text(text)
        git(place, "add", ".")
        git(place, "commit", "-q", "-m", text)
    return place


def test_a_revision_is_found_by_whatever_git_calls_it(repository):
    old, new = (git(repository, "rev-parse", name) for name in ("HEAD~1", "HEAD"))
    git(repository, "tag", "-a", "-m", "text", "first", old)
    found = [find_revision(name, repository) for name in ("HEAD~1", "first", new[:10])]
    assert found == [old, old, new]


@pytest.mark.parametrize("asked", ["nowhere", "--all", "", "HEAD:packages", "a b\x1b[2J"])
def test_what_is_no_commit_is_refused_in_one_line(repository, asked):
    with pytest.raises(VsBenchError, match="--against: expected a revision of this repository, got '") as caught:
        find_revision(asked, repository)
    assert str(caught.value).isprintable()


def test_without_a_repository_or_git_it_says_so(tmp_path, monkeypatch):
    with pytest.raises(VsBenchError, match="is no checkout of a git repository"):
        find_revision("HEAD", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VsBenchError, match="git, which other revisions are read with, cannot be run"):
        find_revision("HEAD", tmp_path)


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, SystemExit])
def test_sources_are_those_of_the_revision_for_as_long_as_they_are_needed(repository, end):
    (repository / "packages" / "file").write_text("changed")
    before = git(repository, "status", "--porcelain"), git(repository, "worktree", "list")
    try:
        with sources_of(git(repository, "rev-parse", "HEAD~1"), repository) as sources:
            assert (sources.folder / "packages" / "file").read_text() == "old"
            if end is not None:
                raise end
    except (KeyboardInterrupt, SystemExit):
        pass
    assert not sources.folder.exists()
    assert (git(repository, "status", "--porcelain"), git(repository, "worktree", "list")) == before


@pytest.fixture
def parrot(tmp_path, monkeypatch):
    """Return sources whose steps are made by a program that repeats what it is told."""
    package = tmp_path / "packages" / "vs-training" / "src"
    (package / "vs_training").mkdir(parents=True)
    (package / "parrot.py").write_text(PARROT)
    monkeypatch.setattr(worker, "_PROGRAM", "parrot")
    return Sources(name="revision 1", revision="1", folder=tmp_path)


def test_a_process_answers_line_by_line_and_ends_with_its_context(parrot):
    with worker.start_worker(parrot, {}) as (process, facts):
        assert Path(facts["sources"]).is_relative_to(parrot.folder)
        assert [process.ask(line) for line in ("0", "1")] == ["0\n", "1\n"]
        assert process.process.poll() is None
    assert process.process.returncode is not None


def test_ctrl_c_ends_the_process(parrot):
    with pytest.raises(KeyboardInterrupt), worker.start_worker(parrot, {}) as (process, _):
        raise KeyboardInterrupt
    assert process.process.returncode is not None


@pytest.mark.parametrize(
    ("line", "said"), [("die", r"ValueError: one; two$"), ("vanish", r"its process ended with status 3$")]
)
def test_what_a_process_died_of_is_one_line(parrot, line, said):
    with (
        pytest.raises(VsBenchError, match=f"^revision 1: its step cannot be measured: {said}"),
        worker.start_worker(parrot, {}) as (process, _),
    ):
        process.ask(line)


def test_sources_from_elsewhere_are_refused(parrot):
    with (
        pytest.raises(VsBenchError, match="Python takes vs_training from /elsewhere/file instead"),
        worker.start_worker(parrot, {"sources": "/elsewhere/file"}),
    ):
        pass


def test_a_revision_without_a_step_is_refused(tmp_path):
    with (
        pytest.raises(VsBenchError, match=r"^revision 1: it has no packages/vs-training"),
        worker.start_worker(Sources(name="revision 1", revision="1", folder=tmp_path), {}),
    ):
        pass


def test_names_that_a_revision_lacks_are_named(parrot, monkeypatch):
    (parrot.folder / "packages" / "vs-training" / "src" / "parrot.py").write_text("from vs_training import train_clip")
    (parrot.folder / "packages" / "vs-training" / "src" / "vs_training" / "__init__.py").write_text("")
    with (
        pytest.raises(VsBenchError, match="ImportError: cannot import name 'train_clip' from 'vs_training'"),
        worker.start_worker(parrot, {}),
    ):
        pass


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_stages_are_the_whole_run(preset):
    config = resolve_config(TrainConfig, preset.document, (), preset.name)
    stages = stages_of(config)
    assert sum(stage.steps for stage in stages) == config.run.steps
    assert sum(stage.steps * stage.frames for stage in stages) == images_between(config.curriculum, 0, config.run.steps)
    assert sum(stage.steps for stage in stages if stage.flow_alone) == config.curriculum.flow_steps


def test_stages_count_by_their_steps():
    stages = Stage(first=0, steps=3, frames=1), Stage(first=3, steps=1, frames=4)
    times = {"a, 1 frame": (1.0, 2.0), "a, 4 frames": (5.0, 6.0)}
    cases = tuple(Series(name=name, seconds=seconds) for name, seconds in times.items())
    result = Result(unit=Series(name="unit", seconds=(1.0, 1.0)), cases=cases, threads=1, device="cpu")
    assert averaged(result, "a", stages).seconds == (2.0, 3.0)
    alone = attrs.evolve(result, cases=(Series(name="a", seconds=(7.0, 8.0)),))
    assert averaged(alone, "a", stages[:1]).seconds == (7.0, 8.0)


def test_a_step_of_a_stage_trains_what_the_run_trains_then(monkeypatch):
    config = attrs.evolve(FEW_SHOT, curriculum=CurriculumConfig(flow_steps=3, initial_length=1, max_length=1))
    losses = []
    original = steppers.__globals__["train_clip"]

    def recorded(*given):
        state, report = original(*given)
        losses.append((set(report.losses.discriminator) > set(), report.frames))
        return state, report

    monkeypatch.setitem(steppers.__globals__, "train_clip", recorded)
    alone, together = steppers(config, [(2, 1), (3, 2)], torch.device("cpu"))
    for step in (alone, together, alone):
        step()
    assert losses == [(False, 1), (True, 2), (False, 1)]


@pytest.mark.parametrize("wanted", [True, False])
def test_memory_is_kept_as_the_revisions_training_keeps_it(wanted, monkeypatch):
    asked = []
    monkeypatch.setattr(tuning, "keep_freed_memory", lambda *, wanted: asked.append(wanted))
    config = attrs.evolve(FEW_SHOT, performance=PerformanceConfig(keep_memory=wanted))
    stepper.keep_memory_as_training_does(config)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    stepper.keep_memory_as_training_does(config)
    assert asked == [wanted]


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="other revisions are in the checkout, which is not here")
def test_this_revision_against_itself(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("vs_bench.step.command.folder_of", lambda store: tmp_path)
    small = ["data.height=64", "data.width=64", "generator.filters=4", "generator.max_filters=8"]
    words = [
        "step",
        "--preset",
        "street-tiny",
        "--levels",
        "O0",
        "--rounds",
        "1",
        "--threads",
        "1",
        "--against",
        "HEAD",
        *small,
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "a run is 350 x (1 frame) + 310 x (4 frames)" in said
    assert "this tree, 4 frames" in said
    (file,) = tmp_path.iterdir()
    assert file.name == "step-street-tiny-against-cpu.json"


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="other revisions are in the checkout, which is not here")
def test_a_process_that_waits_computes_nothing():
    sources = Sources(name="this", revision="", folder=ROOT)
    plan = {"document": {}, "overrides": [], "title": "", "stages": [(0, 1)], "threads": 2, "device": "cpu"}
    plan["count"] = False
    with worker.start_worker(sources, plan) as (process, _):
        process.ask("0")
        used = psutil.Process(process.process.pid).cpu_times
        at_once = sum(used()[:2])
        psutil.cpu_percent(interval=0.3)
        settled = sum(used()[:2])
        psutil.cpu_percent(interval=0.5)
        assert math.isclose(sum(used()[:2]), settled, abs_tol=1 / os.sysconf("SC_CLK_TCK") + 1e-9)
        assert settled - at_once < 0.3
