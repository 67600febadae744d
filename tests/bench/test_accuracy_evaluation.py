"""What an arm is scored by: programs run as users run them, and the mean frame on the frames that they count."""

import json
import sys

import attrs
import pytest
import torch
from vs_bench.__main__ import main
from vs_bench.accuracy import evaluation, programs
from vs_bench.accuracy.arm import HELD_OUT, run_arm
from vs_bench.accuracy.evaluation import EvaluationError, HeldOut, evaluation_of, read_scores
from vs_bench.accuracy.mean_frame import mean_frame, score_frame
from vs_bench.accuracy.plan import SHORT, default_experiments
from vs_bench.accuracy.programs import DIVERGED, run_program
from vs_config import render_config
from vs_data import Clip, SequenceInfo
from vs_eval.app import app as evaluation_app
from vs_metrics import PSNR_CAP, mean_of
from vs_runtime.run_directory import RunDirectory
from vs_train.cli import EXIT_NON_FINITE
from vs_training.quality.rolling import reference_frames

CONFIGS = {experiment.name: experiment.config for experiment in default_experiments(SHORT, ())}


class Greys:
    """Held-out clips whose every frame has one grey level."""

    def __init__(self, *clips):
        self.clips = clips
        self.sequences = tuple(SequenceInfo(name=f"s{i}", frames=len(levels)) for i, levels in enumerate(clips))

    def read(self, request):
        levels = torch.tensor(self.clips[request.sequence][request.start : request.start + request.length])
        return Clip(frames=levels[:, None, None, None].expand(-1, 3, 16, 16), name="")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Writes a program of some lines, which can then be run by its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text, name="some_program"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "__main__.py").write_text(text)
        return name

    yield write
    for name in [name for name in sys.modules if name.startswith("some_program")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("print(__name__, sys.argv[1:])", 0, "__main__ ['a', '--b']\n"),
        ("sys.exit(2)", 2, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('no')", 1, ""),
    ],
)
def test_a_program_gets_its_words_and_says_how_it_ended(program, capsys, text, status, said):
    before = sys.argv[:]
    assert run_program(program(f"import sys\n{text}"), ["a", "--b"]) == status
    assert sys.argv == before
    assert capsys.readouterr().out == said


def test_a_program_that_is_not_there_is_named_before_anything_is_written(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(programs, "EVALUATE", "vs_nowhere")
    assert main(["accuracy", "--seeds", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: arms are trained and evaluated by vs_train and vs_eval: vs_nowhere is not installed"
    assert list(tmp_path.iterdir()) == []


def test_the_mean_frame_is_scored_on_all_frames_but_the_one_that_does_not_count():
    source = Greys([0.0, 0.2, 0.5], [0.0, 0.0, 0.2, 0.9])
    grey = torch.zeros(1, 3, 16, 16)
    first = score_frame(grey, source, lambda _: 0, clips=None, frames=None)
    middle = score_frame(grey, source, lambda frames: frames // 2, clips=None, frames=None)
    assert first.psnr.weight == first.ssim.weight == middle.psnr.weight == 5
    one = [10 * torch.tensor(4 / level**2).log10().item() if level else PSNR_CAP for level in (0.0, 0.2, 0.5, 0.9)]
    assert mean_of(first.psnr) == pytest.approx((one[1] + one[2] + one[0] + one[1] + one[3]) / 5)
    assert mean_of(middle.psnr) == pytest.approx((one[0] + one[2] + one[0] + one[0] + one[3]) / 5)
    cut = score_frame(grey, source, lambda _: 0, clips=1, frames=2)
    assert (cut.psnr.weight, mean_of(cut.psnr)) == (1, pytest.approx(one[1]))
    assert mean_frame(source).mean().item() == pytest.approx(sum([0.7, 1.1]) / 7)


@pytest.mark.parametrize("frames", range(2, 12))
def test_the_frame_that_does_not_count_is_the_reference_that_the_evaluation_takes(frames):
    assert (evaluation_of(CONFIGS["few-shot"].generator).uncounted(frames),) == reference_frames(frames, 1)


@pytest.mark.parametrize("kind", SHORT)
def test_the_evaluation_knows_the_words_that_it_is_told(kind, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(evaluation, "run_program", lambda name, arguments: told.append((name, arguments)) or 0)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: told.append(threads))
    assert evaluation.evaluate(RunDirectory(tmp_path / "run"), CONFIGS[kind], HeldOut(clips=2, frames=3)) == 0
    threads, (name, arguments) = told
    assert (threads, name, arguments[0]) == (1, "vs_eval", kind)
    _, bound, _ = evaluation_app.parse_args(arguments, print_error=False, exit_on_error=False)
    given = bound.arguments
    assert (given["run"], given["out"]) == (tmp_path / "run", tmp_path / "run" / "held-out")
    assert (given["clips"], given["frames"]) == (2, 3)
    if kind == "few-shot":
        assert (given["references"], given["drive"]) == ((1,), False)


def reported(run, weight):
    """A report of one section that counts some frames."""
    scores = {"psnr/generated": {"value": 16.5, "unit": "dB", "weight": weight}}
    (run.path / evaluation.REPORT).mkdir(parents=True)
    document = {"sections": [{"name": "references-1", "scores": scores}]}
    (run.path / evaluation.REPORT / "report.json").write_text(json.dumps(document))


@pytest.mark.parametrize("counted", [5, 4])
def test_scores_are_those_of_the_report_and_of_the_mean_frame_on_the_same_frames(counted, monkeypatch, tmp_path):
    run = RunDirectory(tmp_path)
    reported(run, counted)
    monkeypatch.setattr(evaluation, "open_source", lambda config, split: Greys([0.0, 0.1, 0.2], [0.3, 0.4, 0.5, 0.6]))
    if counted == 5:
        found = read_scores(run, CONFIGS["few-shot"], HeldOut())
        assert found.keys() == {"psnr/generated", "psnr/mean_frame", "ssim/mean_frame"}
        assert found["psnr/generated"] == 16.5
    else:
        with pytest.raises(EvaluationError, match="4 frames have a score, and 5 beside the mean frame"):
            read_scores(run, CONFIGS["few-shot"], HeldOut())


def test_training_that_diverges_is_a_result_without_scores_and_any_other_end_is_none(monkeypatch, tmp_path):
    assert DIVERGED == EXIT_NON_FINITE
    config = tmp_path / "arm.toml"
    config.write_text(render_config(attrs.evolve(CONFIGS["vid2vid"], seed=3)))
    ends = iter([DIVERGED, 143])
    monkeypatch.setattr("vs_bench.accuracy.arm.run_program", lambda name, arguments: next(ends))
    runs = RunDirectory(tmp_path / "diverged"), RunDirectory(tmp_path / "stopped")
    for run in runs:
        run.path.mkdir()
    assert run_arm(runs[0], config, None, HeldOut()) == 0
    found = json.loads((runs[0].path / HELD_OUT).read_text())
    assert (found["diverged"], found["scores"]) == (True, {})
    assert run_arm(runs[1], config, None, HeldOut()) == 143
    assert list(runs[1].path.iterdir()) == []
