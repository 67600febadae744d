"""Curves of pages: which numbers are joined, what is shaded, and what a damaged report on drift shows."""

import math
import re

import pytest
from vs_eval.drift.curves import FIRST
from vs_eval.pages.curves import Series, draw
from vs_eval.pages.found import Found, FoundPart, Said
from vs_eval.pages.roll_outs import roll_out_figures


def lines_of(figure, colour=0):
    """The lines of a curve: for each stroke, how many points it has."""
    found = re.findall(rf'<path d="([^"]*)"[^>]*stroke: var\(--c{colour}\)', str(figure.svg))
    strokes = [stroke for path in found for stroke in path.split("M")[1:]]
    return [1 + stroke.count("L") for stroke in strokes]


def test_numbers_are_joined_although_another_curve_has_places_in_between():
    figure = draw(
        "a", [Series(name="a", x=(20, 40, 60), y=(1, 2, 3)), Series(name="b", x=(30, 50), y=(1, 2))],
        x_name="step", ident="a",
    )  # fmt: skip
    assert lines_of(figure) == [3]
    assert lines_of(figure, 1) == [2]
    assert figure.data["series"][0] == ["1", None, "2", None, "3"]


def test_a_number_that_is_missing_is_a_gap():
    numbers = [1.0, 2.0, math.nan, 2.0, 1.0]
    figure = draw("a", [Series(name="a", x=range(5), y=numbers)], x_name="step", ident="a")
    assert lines_of(figure) == [2, 2]


def ticks_of(figure):
    return re.findall(r">([^<>]+)</text>", str(figure.svg))


@pytest.mark.parametrize("band", [None, ("first", 1.0, 2.0)])
def test_a_band_is_shaded_on_a_scale_that_is_not_logarithmic(band):
    figure = draw("a", [Series(name="a", x=(1, 2), y=(0.001, 1000.0))], x_name="frame", ident="a", band=band)
    assert ("opacity: 0.12" in str(figure.svg)) is (band is not None)
    assert ("1000" in ticks_of(figure)) is (band is not None)
    assert figure.marks == (() if band is None else (("band", "first"),))


def drifted(**entries):
    about = {"drift": entries}
    measures = {"psnr": Said(title="PSNR", unit="dB", better="higher", digits=2)}
    return Found(parts=(FoundPart(),), measures=measures, about=about, directory=None)


PSNR = {
    "mean": 20.0,
    "deviation": 1.0,
    "leaves": 2,
    "generated": [21.0, 19.0, 10.0],
    "running_mean": [21.0, 20.0, 16.67],
    "beside": {"class_mean": [15.0, 15.0, None]},
}


def test_a_roll_out_is_drawn_with_its_band_and_what_it_is_beside():
    (figure,) = roll_out_figures(drifted(psnr=PSNR), "x")
    assert figure.title == "PSNR, dB ↑"
    named = [(swatch.name, swatch.last, swatch.pale) for swatch in figure.swatches]
    assert named == [
        ("mean colour of each class", "15", True),
        ("generated", "10", True),
        (f"generated, mean of {FIRST} frames", "16.7", False),
    ]
    assert [style for style, _ in figure.marks] == ["band", "bad dashed"]
    assert figure.marks[1][1] == "leaves it for good at 2"
    assert [swatch.colour for swatch in figure.swatches] == [1, 0, 0]


@pytest.mark.parametrize(
    "entry",
    [3, {}, {"mean": "x", "deviation": 1}, {"mean": 1, "deviation": None}, {"mean": 1, "deviation": 1},
     {"mean": 1, "deviation": 1, "generated": "text", "running_mean": 3, "beside": []},
     {"mean": 1, "deviation": 1, "generated": [None, "x"]}],
)  # fmt: skip
def test_what_is_damaged_is_left_out(entry):
    figures = roll_out_figures(drifted(other=entry, psnr={**PSNR, "leaves": "never", "beside": 3}), "x")
    assert [figure.title for figure in figures] == ["PSNR, dB ↑"]
    assert [style for style, _ in figures[0].marks] == ["band"]


def test_other_reports_have_no_roll_out():
    assert roll_out_figures(Found(parts=(FoundPart(),), measures={}, about={}, directory=None), "x") == ()
    assert roll_out_figures(Found(parts=(FoundPart(),), measures={}, about={"drift": 3}, directory=None), "x") == ()
