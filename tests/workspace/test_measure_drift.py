"""What is said of recipes against drift; their trainings take minutes and are another matter."""

import json
from pathlib import Path

import pytest
from measure_drift import RECIPES, Curve, Rolled, read_curves, recipes_json
from vs_config import resolve_config
from vs_training.config import TrainConfig
from vs_training.presets import read_preset


@pytest.mark.parametrize("changes", RECIPES.values(), ids=str)
def test_recipes_are_settings_that_there_are(changes: tuple[str, ...]) -> None:
    """Of the preset that is measured."""
    plain, changed = (
        resolve_config(TrainConfig, read_preset("street-tiny").document, some, "")
        for some in (RECIPES["none"], changes)
    )
    assert (changed == plain) is (changes == RECIPES["none"])


def test_curves_are_read_from_a_report(tmp_path: Path) -> None:
    """Measures without values at the end are left out, frames without values do not count."""
    real = [1.0, None, 2.0, 4.0]
    drift = {
        "psnr": {"mean": 18.0, "last": 16.5, "leaves": 40, "beside": {"class_mean": [15.0] * 4}},
        "flicker": {"mean": 3.0, "last": 3.5, "leaves": None, "beside": {"real": real}},
        "broken": {"mean": 1.0, "last": None, "leaves": 2, "beside": {}},
    }
    path = tmp_path / "drift.json"
    path.write_text(json.dumps({"band": {"first_frames": 3}, "drift": drift}))
    assert read_curves(path) == {
        "psnr": Curve(first=18.0, last=16.5, leaves=40, real=None),
        "flicker": Curve(first=3.0, last=3.5, leaves=None, real=3.0),
    }


def test_a_stored_result_has_the_means_of_its_seeds() -> None:
    """Of what all of them have."""
    curve = Curve(first=2.0, last=1.0, leaves=None, real=None)
    runs = [
        Rolled(seconds=9.0, curves={"psnr": curve, "tof": curve}),
        Rolled(seconds=9.0, curves={"psnr": Curve(first=4.0, last=2.0, leaves=50, real=None)}),
    ]
    found = recipes_json({"none": runs})["none"]
    assert (found["first"], found["last"]) == ({"psnr": 3.0}, {"psnr": 1.5})
    assert [seed["curves"]["psnr"]["leaves"] for seed in found["seeds"]] == [None, 50]
