"""What is said of presets' seeds; their trainings take minutes and are another matter."""

import json
from pathlib import Path

import pytest
from measure_presets import PRESETS, Reached, _document, read_report
from vs_training.presets import list_presets


def report(tmp_path: Path, **section: object) -> Path:
    """Write a report of one measure, one set and two claims."""
    path = tmp_path / "report.json"
    path.write_text(
        json.dumps(
            {
                "scores": {"psnr/generated": {"value": 17.0}, "psnr/class_mean": {"value": 15.0}},
                "sets": [{"name": "still_grid", "value": 0.75, "real": 0.5}, {"name": "iou", "value": 1, "real": None}],
                "comparisons": [{"claim": "better", "holds": True}, {"claim": "quicker", "holds": False}],
                **section,
            }
        )
    )
    return path


def test_a_report_becomes_scores_and_lost_claims(tmp_path: Path) -> None:
    """Of frames and of sets, the latter of real frames too."""
    reached = read_report(report(tmp_path), PRESETS["street-tiny"], 12.0)
    assert reached.scores == {
        "psnr/generated": 17.0, "psnr/class_mean": 15.0, "still_grid": 0.75, "still_grid/real": 0.5, "iou": 1
    }  # fmt: skip
    assert (reached.lost, reached.seconds) == (("quicker",), 12.0)


def test_the_section_of_one_reference_counts(tmp_path: Path) -> None:
    """Where a report has several."""
    whole = json.loads(report(tmp_path).read_text())
    other = {**whole, "scores": {"head_ssim/generated": {"value": 0.6}}}
    path = report(tmp_path, sections=[{"name": "references-3", **whole}, {"name": "references-1", **other}])
    assert read_report(path, PRESETS["faces-tiny"], 1.0).scores["head_ssim/generated"] == 0.6


@pytest.mark.parametrize(("name", "value", "met"), [("psnr", 16.4, False), ("psnr", 16.6, True)])
def test_targets_hold_scores(name: str, value: float, met: bool) -> None:
    """On both sides of the first limit."""
    target = PRESETS["street-tiny"].targets[0]
    assert target.met({f"{name}/generated": value, f"{name}/class_mean": 15.0}) is met


def test_a_stored_result_has_the_spread_of_its_seeds() -> None:
    """In whatever order they came."""
    subject = PRESETS["dancers-tiny"]
    found = {
        seed: Reached(scores={"psnr/generated": 15 + gain, "psnr/class_mean": 15.0}, lost=(), seconds=1.0)
        for seed, gain in enumerate((3.0, 1.0, 2.0))
    }
    document = _document(subject, found)
    assert document["scores"]["psnr/generated"] == {"least": 16.0, "middle": 17.0, "greatest": 18.0}
    assert document["targets"][0]["met"] is False
    assert document["targets"][0]["values"] == [3.0, 1.0, 2.0]


def test_presets_are_there() -> None:
    """Under the names that the tool has."""
    assert set(PRESETS) <= {preset.name for preset in list_presets()}
