import json
import math

import pytest
from vs_eval.report import clip_table, tables, to_json
from vs_metrics import Average, mean_of
from vs_training.quality.measures import FEW_SHOT_MEASURES, MEASURES, headed, measure_of, shown
from vs_training.quality.scoring import ClipScores
from vs_training.quality.summary import summarise


def scores(name, frames, **totals):
    made = {key.replace("__", "/"): Average(total=total, weight=weight) for key, (total, weight) in totals.items()}
    return ClipScores(name=name, frames=frames, totals=made, curves={"psnr/generated": (20.0, 19.5)})


@pytest.fixture
def report():
    return summarise(
        [
            scores(
                "a", 5, psnr__generated=(80, 4), psnr__class_mean=(60, 4), epe__generated=(30, 10), epe__zero=(20, 10)
            ),
            scores("b", 3, psnr__generated=(50, 2), psnr__class_mean=(20, 2), first_psnr__generated=(21, 1)),
        ]
    )


def test_every_frame_and_every_confident_pixel_counts_once(report):
    assert mean_of(report.totals["psnr/generated"]) == pytest.approx(130 / 6)
    assert report.totals["epe/zero"] == Average(total=20, weight=10)


def test_comparisons_know_which_way_is_better(report):
    by_claim = {item.claim: item for item in report.comparisons}
    assert by_claim["PSNR above the mean colour of each class"].holds
    flow = by_claim["flow closer to the teacher's than zero flow"]
    assert (flow.value, flow.baseline, flow.holds) == (3.0, 2.0, False)
    assert len(by_claim) == 2  # what has no scores is not claimed


def test_equal_scores_do_not_beat():
    (only,) = summarise([scores("a", 2, ssim__generated=(1, 2), ssim__class_mean=(1, 2))]).comparisons
    assert not only.holds


def test_tables_show_what_there_is_and_dashes_for_the_rest(report):
    frames, motion, comparisons = tables(report)
    assert frames.rows[0] == ("generated", "21.67")
    assert [row[0] for row in frames.rows] == ["generated", "mean colour of each class"]
    assert "generated 21.00 dB" in frames.note
    assert frames.note.endswith("No intervals: 2 clips, and bootstrap over clips needs 5.")
    assert motion.rows == (("generated flow", "3.000"), ("zero flow", "2.000"))
    assert [row[-2:] for row in comparisons.rows] == [("–", "yes"), ("–", "no")]
    each = clip_table(report)
    assert [row[:3] for row in each.rows] == [("a", "5", "20.00"), ("b", "3", "25.00")]
    assert all(len(row) == len(table.heads) for table in (frames, motion, comparisons, each) for row in table.rows)


def test_intervals_are_shown_where_clips_are_enough():
    lone = {"epe__generated": (30, 10), "epe__zero": (20, 10)}
    clips = [
        scores(str(k), 5, psnr__generated=(80 + 8 * (k % 2), 4), psnr__class_mean=(60, 4), **(lone if k < 4 else {}))
        for k in range(6)
    ]
    frames, motion, comparisons = tables(summarise(clips))
    # In one of 32 resamples all six draws are of the three low clips, or all of the three high ones.
    assert frames.rows[0] == ("generated", "21.00 [20.00, 22.00]")
    assert frames.note.endswith("In brackets: 95 % intervals by bootstrap over 6 clips.")
    assert motion.rows == (("generated flow", "3.000"), ("zero flow", "2.000"))  # four clips have flow
    assert [row[-2:] for row in comparisons.rows] == [("[5.000, 7.000]", "yes"), ("–", "no")]


def test_units_and_arrows_are_in_the_headings():
    assert headed(measure_of("psnr/generated")) == "PSNR, dB ↑"
    assert headed(measure_of("warping/real")) == "temporal warping error, levels of 255 ↓"
    assert headed(measure_of("ssim/generated")) == "SSIM ↑"
    for measures in (MEASURES, FEW_SHOT_MEASURES):
        assert len({measure.name for measure in measures}) == len(measures)


def test_json_has_units_and_no_number_that_is_none():
    report = summarise([scores("a", 2, psnr__generated=(40, 2), epe__generated=(0, 0), warping__real=(math.inf, 1))])
    text = json.dumps(to_json(report, {"step": 7}), allow_nan=False)
    read = json.loads(text)
    assert read["step"] == 7
    assert read["scores"] == {"psnr/generated": {"value": 20.0, "unit": "dB", "weight": 2}}
    assert read["clips"][0]["curves"]["psnr/generated"] == [20.0, 19.5]
    assert read["measures"]["epe"]["better"] == "lower"


def test_a_report_on_nothing_is_empty():
    report = summarise([])
    assert report.totals == {}
    assert tables(report) == ()
    assert shown("psnr/generated", report.totals) == "–"
