"""What the numbers of a report mean, and how they are written."""

import math
from collections.abc import Mapping
from typing import Literal

import attrs
from vs_metrics import PSNR_CAP, Average, mean_of

from vs_training.quality.few_shot import COLOUR_REGIONS, MOVED


@attrs.frozen(kw_only=True)
class Measure:
    """A measure: what a number means.

    Attributes:
        name: the part before the slash of a score's name.
        title: heading in tables.
        unit: what it is measured in.
        better: which way is better.
        digits: decimals in tables.
        explanation: one sentence.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int
    explanation: str


FIRST_FRAME_MEASURES: tuple[Measure, ...] = (
    Measure(
        name="first_psnr", title="PSNR", unit="dB", better="higher", digits=2, explanation="PSNR of the first frames."
    ),
    Measure(
        name="first_ssim", title="SSIM", unit="", better="higher", digits=3, explanation="SSIM of the first frames."
    ),
)
"""What the first frame of a clip is measured by, as nothing precedes it."""

MEASURES: tuple[Measure, ...] = (
    Measure(
        name="psnr",
        title="PSNR",
        unit="dB",
        better="higher",
        digits=2,
        explanation=f"Peak signal-to-noise ratio, mean over frames, each counted up to {PSNR_CAP:.0f} dB.",
    ),
    Measure(
        name="ssim",
        title="SSIM",
        unit="",
        better="higher",
        digits=3,
        explanation=(
            "Structural similarity (Wang et al. 2004: Gaussian window of 11 pixels, intensities from 0 to 1), mean "
            "over frames, and in each over the pixels whose window lies in it."
        ),
    ),
    Measure(
        name="warping",
        title="temporal warping error",
        unit="levels of 255",
        better="lower",
        digits=2,
        explanation=(
            "Mean difference between a frame and the same video's frame before, moved by the teacher's flow, where "
            "that flow is to be trusted. The value of the real video is the floor: no video can be expected to beat it."
        ),
    ),
    Measure(
        name="epe",
        title="end-point error",
        unit="pixels",
        better="lower",
        digits=3,
        explanation="Mean length of the difference to the teacher's flow, where that flow is to be trusted.",
    ),
    Measure(
        name="l1",
        title="difference to the real frame",
        unit="levels of 255",
        better="lower",
        digits=2,
        explanation="Mean absolute difference over all pixels, on the frames for which the generator warps.",
    ),
    *FIRST_FRAME_MEASURES,
)
"""What vid2vid generators are measured by."""

FEW_SHOT_MEASURES: tuple[Measure, ...] = (
    *(measure for measure in MEASURES if measure.name in ("psnr", "ssim", "warping", "epe")),
    Measure(
        name="head_psnr",
        title="PSNR in the head",
        unit="dB",
        better="higher",
        digits=2,
        explanation=(
            "PSNR over the pixels of the head (skin, hair, features) alone, on frames in which the head has moved from "
            f"the reference by more than {100 * MOVED:.0f} % of the frame's height; mean over these frames."
        ),
    ),
    Measure(
        name="head_ssim",
        title="SSIM in the head",
        unit="",
        better="higher",
        digits=3,
        explanation=(
            "SSIM over the pixels of the head alone, those near the border too (there the frame is mirrored), on the "
            "same frames."
        ),
    ),
    Measure(
        name="reference_epe",
        title="end-point error to the reference",
        unit="pixels",
        better="lower",
        digits=3,
        explanation=(
            "Mean length of the difference between generated and true flow from a frame to the reference that the "
            "generator chose, where that flow is to be trusted."
        ),
    ),
    *(
        Measure(
            name=f"colour_{name}",
            title=f"colour of {name}",
            unit="delta E",
            better="lower",
            digits=2,
            explanation=(
                f"Distance between the mean colours of {name}, as people see it (CIE 1976; 2.3 is just noticeable), "
                "over the pixels that show it in the true frame."
            ),
        )
        for name in COLOUR_REGIONS
    ),
    Measure(
        name="colour",
        title="identity colour",
        unit="delta E",
        better="lower",
        digits=2,
        explanation="The distances between mean colours of skin, hair, clothes and background, all together.",
    ),
)
"""What few-shot generators are measured by."""


_BY_NAME = {measure.name: measure for measure in (*MEASURES, *FEW_SHOT_MEASURES)}


def measure_of(name: str) -> Measure:
    """Return the measure of a score's name ("psnr/generated")."""
    return _BY_NAME[name.partition("/")[0]]


def method_of(name: str) -> str:
    """Return what a score is of, by its name: "generated" of "psnr/generated"."""
    return name.partition("/")[2]


def shown(name: str, totals: Mapping[str, Average]) -> str:
    """Return a score as text with its decimals, or a dash where it does not exist or is not finite."""
    value = mean_of(totals.get(name, Average()))
    return f"{value:.{measure_of(name).digits}f}" if math.isfinite(value) else "–"


def headed(measure: Measure) -> str:
    """Return a measure's heading: title, unit, and an arrow that points where better is."""
    unit = f", {measure.unit}" if measure.unit else ""
    return f"{measure.title}{unit} {'↑' if measure.better == 'higher' else '↓'}"
