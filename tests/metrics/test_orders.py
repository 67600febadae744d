"""What metrics see of faults that are planted into a street, and what they do not: orders that bench:metrics measures.

Each has a reason in what the metric is, which its test names; sizes and bands are not held here.
"""

import itertools

import pytest
import torch
from vs_bench.ruler.faults import FAULTS
from vs_bench.ruler.metrics import Judges, clip_values
from vs_bench.ruler.scenes import LEAD, Scene, scene_of
from vs_data import FacesConfig, StreetConfig, open_source
from vs_metrics import colour_distances

BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def street() -> Scene:
    config = StreetConfig(height=64, width=128, sequence_length=LEAD + 8, val_sequences=1)
    return scene_of(open_source(config, "val"), 0)


@pytest.fixture(scope="module")
def face() -> Scene:
    config = FacesConfig(height=64, width=64, sequence_length=LEAD + 4, val_identities=2, motions=1)
    return scene_of(open_source(config, "val"), 0)


@pytest.fixture(scope="module")
def measured(street):
    """Return fault -> the values of the true clip and of the smallest, a middle and the largest fault."""

    def values(name: str) -> list[dict[str, float]]:
        fault = BY_NAME[name]
        planted = [fault.plant(street, size) for size in fault.sizes[::2] + fault.sizes[-1:]]
        return [clip_values(street, frames, Judges()) for frames in (street.clip.frames, *planted)]

    return {name: values(name) for name in ("flicker", "colour drift", "blur", "grid", "lag", "colour shift")}


def rises(rows: list[dict[str, float]], metric: str) -> bool:
    return all(a[metric] < b[metric] for a, b in itertools.pairwise(rows))


def moves(rows: list[dict[str, float]], metric: str) -> float:
    """Return how far the largest fault is from none."""
    return rows[-1][metric] - rows[0][metric]


def test_flicker_rises_with_flicker_and_neither_with_drift_nor_with_blur(measured):
    """A steady change has no second difference, and what is blurred has less of everything."""
    for name in ("flicker", "flicker_estimated"):
        assert rises(measured["flicker"], name)
        assert abs(moves(measured["colour drift"], name)) < 0.05
        assert moves(measured["blur"], name) < 0


def test_the_warping_error_sees_drift_of_colour_and_is_better_where_frames_are_blurred(measured):
    """It takes whatever changes along the flow, and in what is blurred less changes."""
    assert rises(measured["flicker"], "warping")
    assert rises(measured["colour drift"], "warping")
    assert moves(measured["blur"], "warping") < 0


def test_by_similarity_flicker_and_colour_are_next_to_nothing_and_blur_is_much(measured):
    """SSIM compares structure within a window, and mean levels only weakly; where frames are blurred, that is gone."""
    assert rises([{"ssim": -row["ssim"]} for row in measured["blur"]], "ssim")
    for name in ("flicker", "colour shift"):
        assert abs(moves(measured[name], "ssim")) < 0.1 * abs(moves(measured["blur"], "ssim"))


def test_psnr_takes_a_frame_by_itself_so_that_flicker_is_as_constant_brightness_to_it(street, measured):
    level = BY_NAME["flicker"].sizes[-1]
    brighter = (street.clip.frames + 0.5 * level / 127.5).clamp(-1, 1)
    constant = clip_values(street, brighter, Judges())
    assert measured["flicker"][-1]["psnr"] == pytest.approx(constant["psnr"], abs=0.1)
    assert measured["flicker"][-1]["flicker"] > constant["flicker"] + 0.5 * level


def test_tof_sees_what_is_late_and_no_colours(measured):
    """It compares motions alone, which are those of another time in a late video."""
    assert rises(measured["lag"], "tof")
    assert moves(measured["colour shift"], "tof") < 0.5 * moves(measured["lag"], "tof")


def test_the_grid_metrics_see_the_grid_alone(measured):
    """Only what repeats every few pixels has energy there: neither brightness nor what is late or blurred adds any."""
    for name in ("grid", "still_grid"):
        assert rises(measured["grid"], name)
        for other in ("flicker", "colour drift", "colour shift"):
            assert abs(moves(measured[other], name)) < 0.05
        assert moves(measured["blur"], name) < 0
        assert moves(measured["lag"], name) < 0.1 * moves(measured["grid"], name)


def test_identity_colours_see_somebody_else_in_the_same_motion_which_temporal_metrics_do_not(face):
    fault = BY_NAME["wrong identity"]
    planted = [clip_values(face, fault.plant(face, size), Judges()) for size in (0.0, *fault.sizes)]
    assert rises(planted, "colour")
    assert rises([{"head_ssim": -row["head_ssim"]} for row in planted], "head_ssim")
    saved = clip_values(face, face.saved, Judges())
    for name in ("flicker", "warping"):  # less than saving as a video makes
        assert abs(moves(planted, name)) < saved[name] - planted[0][name]


def test_identity_colours_are_delta_e_of_a_shift_of_all_colours(face):
    """Held against the distance pixel by pixel, which is shorter only where a screen has no such colour."""
    shifted = BY_NAME["colour shift"].plant(face, 2.5)
    pixels = colour_distances(shifted.movedim(1, -1), face.clip.frames.movedim(1, -1))
    assert torch.median(pixels) == pytest.approx(2.5, abs=0.05)
    assert clip_values(face, shifted, Judges())["colour"] == pytest.approx(2.5, abs=0.3)
