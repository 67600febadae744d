"""`report`: the pages of runs that are finished, unfinished, not evaluated, damaged, or none at all."""

import json
import os
import re
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import pytest
from report_runs import write_drift, write_evaluation, write_run
from toy_runs import STREET
from vs_config import render_config
from vs_eval.errors import VsEvalError
from vs_eval.pages.comparison import score_tables
from vs_eval.pages.found import Found, FoundPart, FoundSet, Score, structured
from vs_eval.pages.history import History, happened, overflowed, read_history, resumed_at, stages
from vs_eval.pages.scores import cards_of
from vs_metrics import write_png
from vs_runtime.metrics_log import MetricsLog


@pytest.fixture
def run_main(run_command):
    return partial(run_command, "report")


def page_of(run) -> str:
    return (run.path / "report.html").read_text()


def plain(page: str) -> str:
    """What can be read on a page, in one line."""
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page.partition("<body>")[2], flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_a_run_is_told_on_one_page_without_anything_else(run_main, tmp_path):
    run = write_run(tmp_path / "runs" / "mine", lines={
        3: {"scale_generator": 64.0}, 4: {"skipped_generator": 1, "scale_generator": 32.0},
        5: {"skipped_generator": 1, "scale_generator": 32.0},
    })  # fmt: skip
    write_evaluation(run.path / "eval" / "step-00000005")
    before = sorted(path for path in run.path.rglob("*"))
    status, out, err = run_main("runs/mine")
    assert (status, err) == (0, "")
    assert re.search(r"report: runs/mine/report\.html \(0\.\d MB\)", out)
    page = page_of(run)
    text = plain(page)
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", page)
    assert "://" not in page
    assert str(tmp_path) not in page
    for words in (
        "finished: 5 steps",
        "PSNR 16.25 dB 1.25 dB better than the mean colour of each class (15.00)",
        "SSIM 0.400 dB 0.100 worse than the mean colour of each class (0.500)",
        "PSNR above class colours: 16.250, to beat 15.000",
        "PSNR, dB two 17.00 one 16.00",
        "From step 3 on, clips have 4 frames.",
        "1 update of the generator skipped after an overflow, at step 4.",
        "gradients overflowed",
        "update skipped",
        "The nearest preset is",
        "hatch run eval:vid2vid run --checkpoint 5",
        "torch 2.13",
    ):
        assert words in text, words
    assert sorted(path for path in run.path.rglob("*") if path.name != "report.html") == before


def test_what_happened_is_marked_in_the_losses_each_in_a_way_of_its_own(run_main, tmp_path):
    run = write_run(tmp_path / "mine", lines={
        1: {"scale_generator": 64.0}, 2: {"replays": 1, "scale_generator": 32.0},
        3: {"replays": 1, "skipped_generator": 1, "scale_generator": 32.0},
        4: {"replays": 1, "skipped_generator": 1, "roll_backs": 1, "scale_generator": 64.0},
        5: {"replays": 1, "skipped_generator": 1, "roll_backs": 1, "gradient_norm_generator": 2.0},
    })  # fmt: skip
    assert run_main("mine")[0] == 0
    (losses,) = re.findall(r"<figcaption>Losses of the generator</figcaption>.*?</figure>", page_of(run), re.DOTALL)
    marks = dict(re.findall(r'<span class="mark ([^"]*)"></span>([^<]*)</li>', losses))
    assert marks == {
        "dashed": "clips of another length",
        "bad dashed": "gradients overflowed",
        "bad dotted": "update skipped",
        "bad thick dotted": "replayed",
        "bad": "rolled back",
        "solid": "checkpoint",
    }
    strokes = re.findall(r'<path d="M [^L]*L [^L]*" [^>]*style="([^"]*stroke: var\(--no\)[^"]*)"', losses)
    assert len(set(strokes)) == 4
    text = plain(page_of(run))
    for title in ("Norms of gradients", "Loss scales", "1 frame replayed with a smaller loss scale, at step 2."):
        assert title in text, title
    assert "✗ 1 roll-back to an earlier checkpoint, at step 4." in text


@pytest.mark.parametrize(
    ("value", "note", "good"),
    [
        (0.5004, "as good as the mean colour of each class (0.500)", None),
        (0.5007, "0.001 better than the mean colour of each class (0.500)", True),
        (0.4, "0.100 worse than the mean colour of each class (0.500)", False),
    ],
)
def test_a_difference_that_is_not_seen_is_neither_better_nor_worse(tmp_path, value, note, good):
    part = FoundPart(scores={"ssim/generated": Score(value=value), "ssim/class_mean": Score(value=0.5)})
    (card,) = cards_of(Found(parts=(part,), measures={}, about={}, directory=tmp_path), part)
    assert (card.note, card.good) == (note, good)


@pytest.mark.parametrize("measure", ["flicker", "warping", "grid"])
def test_steadiness_is_beside_the_real_video_not_beside_class_colours_which_have_none_to_lose(tmp_path, measure):
    values = {"generated": 2.5, "class_mean": 0.1, "real": 2.0}
    part = FoundPart(scores={f"{measure}/{method}": Score(value=value) for method, value in values.items()})
    (card,) = cards_of(Found(parts=(part,), measures={}, about={}, directory=tmp_path), part)
    assert (card.note, card.good) == ("the real video has 2.000", None)


def test_runs_are_compared_by_what_is_measured_of_all_frames_together(tmp_path):
    def found(agreement, grid):
        sets = (
            FoundSet(title="agreement", value=agreement, better="higher"),
            FoundSet(title="grid, levels of 255", value=grid, unit="levels of 255", better="lower"),
            FoundSet(title="FID", better="lower"),  # of too few frames
        )
        return Found(parts=(FoundPart(sets=sets),), measures={}, about={}, directory=tmp_path)

    (table,) = score_tables({"A": found(0.5, 0.25), "B": found(0.75, 0.5)})
    assert table.rows == (
        ("agreement", "0.500", "0.750 (+0.250, better)"),
        ("grid, levels of 255", "0.250", "0.500 (+0.250, worse)"),
    )


def test_the_newest_evaluation_counts_and_the_others_are_listed(run_main, tmp_path):
    run = write_run(tmp_path / "mine")
    write_evaluation(run.path / "eval" / "step-00000003", checkpoint={"step": 3}, summary="older")
    write_evaluation(run.path / "eval" / "step-00000005", ("new",))
    assert run_main("mine")[0] == 0
    text = plain(page_of(run))
    assert "step 3 16.25 0.400 step 5 16.25 0.400" in text
    assert page_of(run).count('type="text/plain"') == 1


def test_an_audit_of_the_numerics_is_on_the_page_and_its_sheet_is_turned_over_on_dark_ones(run_main, tmp_path):
    run = write_run(tmp_path / "mine")
    audit = run.path / "eval" / "numerics-step-00000005-float16"
    audit.mkdir(parents=True)
    table = {
        "title": "Layers, worst first",
        "heads": ["layer", "bits"],
        "rows": [["generator.up.3", "0.9"]],
        "note": "",
    }
    (audit / "numerics.json").write_text(json.dumps({"tables": [table], "conclusions": ["2 layers are at risk"]}))
    write_png(audit / "numerics.png", np.full((8, 8, 3), 255, np.uint8))
    assert run_main("mine")[0] == 0
    text = plain(page_of(run))
    for words in (
        "Numerics: step-00000005-float16",
        "2 layers are at risk",
        "generator.up.3 0.9",
        "Magnitudes of each",
    ):
        assert words in text, words
    assert 'class="picture sheet"' in page_of(run)


def test_a_run_that_was_not_evaluated_says_what_to_do(run_main, tmp_path):
    run = write_run(tmp_path / "mine", steps=2)
    assert run_main("mine")[0] == 0
    text = plain(page_of(run))
    assert "unfinished: 2 of 5 steps" in text
    assert "This run has not been evaluated" in text
    assert "hatch run eval:vid2vid mine" in text


def test_what_is_damaged_is_named_and_the_rest_is_shown(run_main, tmp_path):
    run = write_run(tmp_path / "mine")
    lines = run.metrics.read_text().splitlines()
    run.metrics.write_text("\n".join([*lines[:2], '{"step": oops', *lines[3:], '{"step": 6, "g_g']))
    for step, text in (("3", "{"), ("4", '{"clips": 3}'), ("5", "[]")):
        directory = run.path / "eval" / f"step-0000000{step}"
        directory.mkdir(parents=True)
        (directory / "report.json").write_text(text)
    status, _, err = run_main("mine")
    assert status == 0
    text = plain(page_of(run))
    assert "line 3 is not a line of metrics" in text
    assert "line 3 is not a line of metrics" in err
    assert text.count("report.json") == 3
    assert "step 1 to 5" in page_of(run)


def test_videos_that_do_not_fit_are_left_out_and_named(run_main, tmp_path):
    run = write_run(tmp_path / "mine")
    write_evaluation(run.path / "eval" / "step-00000005", ("one", "two"))
    video = run.path / "eval" / "step-00000005" / "clip-0.mp4"
    video.write_bytes(video.read_bytes() + bytes(200_000))
    assert run_main("mine", "--max-mb", "0.1")[0] == 0
    assert "or cannot be read: one." in plain(page_of(run))
    assert page_of(run).count('type="text/plain"') == 1
    assert (run.path / "report.html").stat().st_size < 250_000


def test_files_elsewhere_do_not_get_into_a_page(run_main, tmp_path):
    run = write_run(tmp_path / "mine")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    document = write_evaluation(run.path / "eval" / "step-00000005", ("one",))
    document["files"][0]["video"] = "../../../secret.mp4"
    document["pictures"] = [{"title": "x", "file": "/etc/hostname"}]
    (run.path / "eval" / "step-00000005" / "report.json").write_text(json.dumps(document))
    assert run_main("mine")[0] == 0
    assert "c2VjcmV0" not in page_of(run)
    assert "data:image/png" not in page_of(run)


def test_several_runs_are_compared(run_main, tmp_path):
    for name, psnr in (("a", 16.25), ("b", 17.5)):
        run = write_run(tmp_path / name, seed=len(name) if name == "a" else 3)
        scores = {"psnr/generated": {"value": psnr, "unit": "dB"}}
        write_evaluation(run.path / "eval" / "step-00000005", scores=scores)
    status, out, err = run_main("a", "b", "./a/", "--out", "both.html")
    assert (status, err) == (0, "warning: a is named more than once; it is shown once\n")
    assert [line.split()[1] for line in out.splitlines() if line.startswith("report:")] == [
        "a/report.html",
        "b/report.html",
        "both.html",
    ]
    text = plain((tmp_path / "both.html").read_text())
    assert "Comparison of 2 runs" in text
    assert "PSNR, dB 16.25 17.50 (+1.25, better)" in text
    assert "seed 1 3" in text
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_measured_of_all_frames_together_is_compared_where_a_run_has_it(run_main, tmp_path):
    agreement = {"title": "agreement with labels", "unit": "", "better": "higher", "frames": 24, "least_frames": 8}
    fid = {**agreement, "title": "FID", "better": "lower", "least_frames": 2049}
    found = {
        "a": [{**agreement, "value": 0.5}, {**fid, "value": None}],
        "b": [{**agreement, "value": 0.25}, {**fid, "value": 40.0}],
        "c": [{**agreement, "value": 0.75}, {**fid, "value": 30.0}],
    }
    for name, sets in found.items():
        write_evaluation(write_run(tmp_path / name).path / "eval" / "step-00000005", sets=sets)
    assert run_main(*found, "--out", "all.html")[0] == 0
    text = plain((tmp_path / "all.html").read_text())
    assert re.search(r"agreement with labels 0\.50* 0\.250* \(-0\.250*, worse\) 0\.750* \(\+0\.250*, better\)", text)
    assert re.search(r"FID – 40\.0+ 30\.0+ \(-10\.0+, better\)", text)


def test_long_roll_outs_are_compared_by_their_later_frames(run_main, tmp_path):
    for name, start in (("a", 20.0), ("b", 21.0), ("c", None)):
        run = write_run(tmp_path / name)
        if start is not None:
            write_drift(run.path / "eval" / "drift-step-00000005", start)
    assert run_main("a", "b", "c", "--out", "all.html")[0] == 0
    text = plain((tmp_path / "all.html").read_text())
    # Frames 30 to 59 of 20 - 0.1 * frame are 15.55 on average.
    assert "Later than frame 30 measure A B PSNR, dB 15.55 16.55 (+1.00, better)" in text
    document = json.loads((tmp_path / "b/eval/drift-step-00000005/drift.json").read_text())
    (tmp_path / "b/eval/drift-step-00000005/drift.json").write_text(json.dumps({**document, "frames": 300}))
    assert run_main("a", "b", "--out", "all.html")[0] == 0
    assert "Later than" not in plain((tmp_path / "all.html").read_text())


def test_runs_without_common_clips_are_compared_all_the_same(run_main, tmp_path):
    write_run(tmp_path / "a")
    write_evaluation(write_run(tmp_path / "b").path / "eval" / "step-00000005")
    assert run_main("a", "b", "--out", "both.html")[0] == 0
    text = plain((tmp_path / "both.html").read_text())
    assert "a has not been evaluated yet." in text
    assert "All settings are the same." in text
    legends = re.findall(r'swatch (c\d)"></span>(\w) ', (tmp_path / "both.html").read_text())
    assert set(legends) == {("c0", "A"), ("c1", "B")}  # in each figure, those of one run too


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nothing",), "nothing: there is no such directory"),
        (("empty",), "empty: not a run: it has no config.toml"),
        ((), "runs: there is no run here yet"),
        (("mine", "other"), "--out: several runs are also compared; name that page"),
        (("mine", "--out", "empty"), "--out: empty is a directory"),
        (("mine", "--out", "gone/x.html"), "--out: gone is no directory"),
        (("mine", "--out", "notes.txt"), "--out: notes.txt is there and is not such a page"),
        (("mine", "nothing", "--out", "x.html"), "nothing: there is no such directory"),
        (("mine", "mine/", "--out", "x.html"), "RUN: mine is named more than once, and nothing is there"),
        (("mine", "linked"), "RUN: linked is the same run as mine, and nothing is there to"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(run_main, tmp_path, everything_below, arguments, problem):
    for name in ("mine", "other"):
        write_run(tmp_path / name)
    (tmp_path / "linked").symlink_to("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("precious")
    before = everything_below(tmp_path)
    status, out, err = run_main(*arguments)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert problem in line
    assert everything_below(tmp_path) == before


def test_a_page_that_is_there_is_replaced(run_main, tmp_path):
    write_run(tmp_path / "mine")
    assert run_main("mine", "--out", "x.html")[0] == 0
    assert run_main("mine", "--out", "x.html")[0] == 0
    assert not (tmp_path / "mine" / "report.html").exists()


def test_a_run_that_trains_now_is_told_so(run_main, tmp_path):
    from vs_runtime.run_lock import hold_run

    run = write_run(tmp_path / "mine", steps=3)
    child = os.fork()
    if child == 0:
        with hold_run(run) as claim:
            claim()
            (tmp_path / "held").touch()
            while (tmp_path / "held").exists():
                os.sched_yield()
        os._exit(0)
    while not (tmp_path / "held").exists():
        os.sched_yield()
    assert run_main("mine")[0] == 0
    (tmp_path / "held").unlink()
    os.waitpid(child, 0)
    assert "running: step 3 of 5" in plain(page_of(run))
    assert run_main("mine")[0] == 0
    assert "unfinished: 3 of 5 steps" in plain(page_of(run))


def test_what_happened_is_counted_from_what_was_written(tmp_path):
    lines = {
        2: {"replays": 2},
        3: {"replays": 2, "roll_backs": 1},
        4: {"replays": 3, "roll_backs": 1},
        5: {"replays": 3},
    }
    history = read_history(write_run(tmp_path / "mine", lines=lines).metrics)
    assert happened(history, "replays") == {2: 2, 4: 1}
    assert happened(history, "roll_backs") == {3: 1}
    assert stages(history) == {3: 4}
    times = ["1970-01-01T00:16:42.5+00:00", "nonsense", "1999-01-01T00:00:00+00:00"]
    assert resumed_at(history, times) == (3,)


@pytest.mark.parametrize("document", [[], 3, {"clips": 3}, {"sections": [3]}, {"scores": {"psnr/generated": {}}}])
def test_what_is_no_evaluation_is_one_error(tmp_path, document):
    with pytest.raises(VsEvalError, match="is not that of an evaluation") as caught:
        structured(document, tmp_path)
    assert "\n" not in str(caught.value)


def test_validations_are_curves_of_their_own(run_main, tmp_path):
    run = write_run(tmp_path / "mine")
    lines = run.metrics.read_text().splitlines()
    for step, psnr in ((2, 11.5), (4, 12.5)):
        scores = {"psnr/generated": psnr, "first_psnr/generated": 7.0, "unknown/generated": 1.0}
        line = {"step": step, "kind": "validation", **scores, "clips": 2, "frames": 9, "time": 1.0}
        lines.insert(step + step // 2 - 1, json.dumps(line))
    run.metrics.write_text("\n".join(lines) + "\n")
    assert run_main("mine")[0] == 0
    assert "PSNR, dB ↑, step 2 to 4: generated from 11.5 to 12.5" in page_of(run)  # one that was never evaluated
    assert "unknown, step 2 to 4" in page_of(run)
    assert "from 7 to 7" not in page_of(run)
    assert "clips from" not in page_of(run)


def test_of_many_clips_that_do_not_fit_some_are_named(run_main, tmp_path):
    run = write_run(tmp_path / "mine")
    write_evaluation(run.path / "eval" / "step-00000005", [f"clip {at}" for at in range(12)])
    for path in (run.path / "eval" / "step-00000005").glob("*.mp4"):
        path.write_bytes(bytes(100_000))
    assert run_main("mine", "--max-mb", "0.1")[0] == 0
    text = plain(page_of(run))
    assert "cannot be read: clip 0, clip 1," in text
    assert "clip 9 and 2 more." in text
    assert "Limits: it compares amounts of change: " in text
    assert "Source: Chu et al. 2020, who multiply it by 100." in text


def test_a_run_that_validations_have_ended_is_no_unfinished_one(run_main, tmp_path):
    run = write_run(tmp_path / "mine", steps=3)
    early = {"patience": 1, "keep_best": "psnr", "validate_every": 1, "steps": 9}
    run.config.write_text(render_config(attrs.evolve(STREET, run=attrs.evolve(STREET.run, **early))))
    with MetricsLog(run.metrics) as log:
        for step, psnr in ((2, 12.0), (3, 11.0)):
            log.append_validation(step, {"psnr/generated": psnr}, {"time": 1.0})
    assert run_main("mine")[0] == 0
    assert "ended by run.patience: 3 of 9 steps" in plain(page_of(run))


def test_paths_stay_as_they_are_given(run_main, tmp_path):
    (tmp_path / "here").mkdir()
    write_run(tmp_path / "here" / "my run")
    assert run_main("here/my run")[0] == 0
    page = (tmp_path / "here" / "my run" / "report.html").read_text()
    assert "hatch run eval:vid2vid &#39;here/my run&#39;" in page
    assert str(Path.cwd()) not in page


def test_overflows_are_where_a_scale_was_lowered_but_not_where_a_roll_back_restored_it():
    scales = (64.0, 64.0, 32.0, 64.0, 16.0, 8.0)
    lines = [{"step": k, "scale_generator": scale, "roll_backs": int(k >= 5)} for k, scale in enumerate(scales, 1)]
    assert overflowed(History(steps=tuple(lines))) == (3, 6)
