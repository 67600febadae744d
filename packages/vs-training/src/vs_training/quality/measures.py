"""What the numbers of a report mean, and how they are written."""

import math
from collections.abc import Mapping
from typing import Literal

import attrs
from vs_metrics import (
    FLICKER_FRAMES,
    GRID_PERIOD,
    MIN_CLASS_PIXELS,
    MIN_REGION_PIXELS,
    PSNR_CAP,
    SSIM_WINDOW,
    Average,
    Interval,
    mean_of,
)

from vs_training.quality.few_shot import COLOUR_REGIONS, MOVED
from vs_training.quality.scoring import GRID_LEAST, MOVING


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
        source: the paper or library.
        limits: what it does not see, and what else changes it.
        least_frames: frames of a clip below which it does not exist.
        needs: what there must be besides, without which it refuses.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int
    explanation: str
    source: str
    limits: str
    least_frames: int = 1
    needs: str = ""


_PSNR_SOURCE = "torchmetrics; what it is valid for: Huynh-Thu and Ghanbari 2008"
_PSNR_LIMITS = (
    "blur costs little and a shift by a pixel much; contents differ in what is easy, so that it compares methods on "
    "the same clips alone; it sees single frames"
)
_SSIM_SOURCE = "Wang et al. 2004, by torchmetrics"
_SSIM_LIMITS = (
    "smooth surfaces at the right level count for much, a shift by a pixel costs more than it looks, and colour counts "
    "as three greys; it sees single frames"
)
_WINDOW = f"pictures of {SSIM_WINDOW} pixels a side"
_TEACHER = "a teacher's flow, and pixels where that is to be trusted"
_FLOW_SOURCE = "Baker et al. 2011, after Otte and Nagel 1994"
_FLOW_LIMITS = "no better than the teacher; pixels that nobody is sure of, such as occlusions, do not count"
_CLASS_LIMITS = "what was painted in the wrong place counts where it should be"
_CLASS_PIXELS = f"{MIN_CLASS_PIXELS} pixels of the class in a frame"
_LPIPS = "LPIPS's network (--features), whose pictures have 31 pixels a side or more (VGG-16: 16)"
_COLOUR_SOURCE = "CIE 1976 (L*a*b*); just noticeable: Mahy et al. 1994"
_COLOUR_LIMITS = (
    "mean colours alone: no texture and no shape, and light counts as colour; CIE 1976 makes strong colours differ "
    "more than they look; what was painted elsewhere is not looked at"
)
_COLOUR_PIXELS = f"regions, and {MIN_REGION_PIXELS} pixels of one in a frame"
_MOVED_HEAD = "regions, and the teacher's flow to the reference; frames in which the head has moved"

FIRST_FRAME_MEASURES: tuple[Measure, ...] = (
    Measure(
        name="first_psnr",
        title="PSNR",
        unit="dB",
        better="higher",
        digits=2,
        explanation="PSNR of the first frames.",
        source=_PSNR_SOURCE,
        limits=_PSNR_LIMITS,
    ),
    Measure(
        name="first_ssim",
        title="SSIM",
        unit="",
        better="higher",
        digits=3,
        explanation="SSIM of the first frames.",
        source=_SSIM_SOURCE,
        limits=_SSIM_LIMITS,
        needs=_WINDOW,
    ),
)
"""What the first frame of a clip is measured by, as nothing precedes it."""

CLASS_MEASURES: tuple[Measure, ...] = (
    Measure(
        name="class_psnr",
        title="PSNR of the class",
        unit="dB",
        better="higher",
        digits=2,
        explanation="PSNR over the pixels of a class alone, mean over the frames that show enough of them.",
        source=_PSNR_SOURCE,
        limits=_CLASS_LIMITS,
        least_frames=2,
        needs=_CLASS_PIXELS,
    ),
    Measure(
        name="class_ssim",
        title="SSIM of the class",
        unit="",
        better="higher",
        digits=3,
        explanation="SSIM over the pixels of a class alone, on the same frames; each looks at 5 pixels around it.",
        source=_SSIM_SOURCE,
        limits=f"{_CLASS_LIMITS}; neighbours of other classes have a say",
        least_frames=2,
        needs=f"{_CLASS_PIXELS}, {_WINDOW}",
    ),
    Measure(
        name="class_l1",
        title="difference in the class",
        unit="levels of 255",
        better="lower",
        digits=2,
        explanation="Mean absolute difference over the pixels of a class.",
        source="mean absolute error",
        limits=f"{_CLASS_LIMITS}; textures cost more than blur",
        least_frames=2,
        needs=_CLASS_PIXELS,
    ),
)
"""What the classes of a label are measured by, each by itself; none on the first frame of a clip."""

MEASURES: tuple[Measure, ...] = (
    Measure(
        name="psnr",
        title="PSNR",
        unit="dB",
        better="higher",
        digits=2,
        explanation=f"Peak signal-to-noise ratio, mean over frames, each counted up to {PSNR_CAP:.0f} dB.",
        source=_PSNR_SOURCE,
        limits=_PSNR_LIMITS,
        least_frames=2,
    ),
    Measure(
        name="ssim",
        title="SSIM",
        unit="",
        better="higher",
        digits=3,
        explanation=(
            f"Structural similarity (Gaussian window of {SSIM_WINDOW} pixels, intensities from 0 to 1), mean over "
            "frames, and in each over the pixels whose window lies in it."
        ),
        source=_SSIM_SOURCE,
        limits=_SSIM_LIMITS,
        least_frames=2,
        needs=_WINDOW,
    ),
    Measure(
        name="lpips",
        title="LPIPS",
        unit="",
        better="lower",
        digits=3,
        explanation=(
            "Distance to the real frame in a classifier's features, weighted as people judge, mean over frames."
        ),
        source="Zhang et al. 2018",
        limits=(
            "it depends on the frames' size; people judged patches of 64 pixels with the distortions of that time; it "
            "sees single frames"
        ),
        least_frames=2,
        needs=_LPIPS,
    ),
    Measure(
        name="tlp",
        title="tLP",
        unit="",
        better="lower",
        digits=4,
        explanation=(
            "Mean difference between how much the generated video changes from frame to frame, by LPIPS, and how much "
            "the real one does."
        ),
        source="Chu et al. 2020, who multiply it by 100",
        limits="it compares amounts of change: a video may change as much as the real one, and elsewhere",
        least_frames=2,
        needs=_LPIPS,
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
        source="Lai et al. 2018, who square the difference",
        limits="blurred videos have little; it does not tell flicker from what changes steadily",
        least_frames=2,
        needs=_TEACHER,
    ),
    Measure(
        name="flicker",
        title="flicker",
        unit="levels of 255",
        better="lower",
        digits=2,
        explanation=(
            "Half of the mean second difference along the teacher's flow, where that is to be trusted: what comes and "
            "goes again. A video that alternates by a level has one level, as of the temporal warping error; one that "
            "changes steadily has none. Compare with the real video."
        ),
        source="ours, after Lai et al. 2018",
        limits="blurred videos have little; what comes and goes over more than three frames is hardly seen",
        least_frames=FLICKER_FRAMES,
        needs=_TEACHER,
    ),
    Measure(
        name="tof",
        title="tOF",
        unit="pixels",
        better="lower",
        digits=3,
        explanation=(
            "Mean length of the difference between the motion of the generated and of the real video, both as OpenCV's "
            "DIS sees it."
        ),
        source="Chu et al. 2020",
        limits="the estimator sees little in flat regions, and motion in flicker; lateness shows as motion changes",
        least_frames=2,
        needs="frames whose values are finite",
    ),
    Measure(
        name="grid",
        title="grid",
        unit="levels of 255",
        better="lower",
        digits=2,
        explanation=(
            f"Strength of the pattern that repeats every {GRID_PERIOD} pixels (or 2, or 4), as up-sampling leaves it: "
            "a checkerboard of plus and minus a level has one level. Compare with the real video, whose details leave "
            "some too."
        ),
        source="ours, after Odena et al. 2016 and Zhang et al. 2019",
        limits="what repeats in the world itself counts",
        least_frames=2,
        needs=f"pictures of {GRID_LEAST} pixels a side",
    ),
    Measure(
        name="epe",
        title="end-point error",
        unit="pixels",
        better="lower",
        digits=3,
        explanation="Mean length of the difference to the teacher's flow, where that flow is to be trusted.",
        source=_FLOW_SOURCE,
        limits=f"{_FLOW_LIMITS}; where most of a frame holds still, zero flow is hard to beat",
        least_frames=2,
        needs=f"a generator that estimates flow; {_TEACHER}",
    ),
    Measure(
        name="moving_epe",
        title="end-point error where it moves",
        unit="pixels",
        better="lower",
        digits=3,
        explanation=(
            f"End-point error where the teacher's flow is longer than {MOVING} pixels alone: where most of a frame "
            "holds still, zero flow is hard to beat over all of it, and worth nothing."
        ),
        source=f"ours, after {_FLOW_SOURCE}",
        limits=f"{_FLOW_LIMITS}; motion that was invented where nothing moves is not seen",
        least_frames=2,
        needs=f"a generator that estimates flow; {_TEACHER}; something that moves",
    ),
    Measure(
        name="person_psnr",
        title="PSNR in the person",
        unit="dB",
        better="higher",
        digits=2,
        explanation="PSNR over the pixels that show the person alone, where the world knows them; mean over frames.",
        source=_PSNR_SOURCE,
        limits=f"a limb outside of its true place costs where it is missing alone; {_PSNR_LIMITS}",
        least_frames=2,
        needs="regions, and a frame that shows somebody",
    ),
    Measure(
        name="l1",
        title="difference to the real frame",
        unit="levels of 255",
        better="lower",
        digits=2,
        explanation="Mean absolute difference over all pixels, on the frames for which the generator warps.",
        source="mean absolute error",
        limits="where little moves, the repeated frame is hard to beat; what came into view counts against warping",
        least_frames=2,
        needs="a generator that warps",
    ),
    *FIRST_FRAME_MEASURES,
    *CLASS_MEASURES,
)
"""What vid2vid generators are measured by; the first frame of a clip is counted apart."""

SHARED_MEASURES = ("psnr", "ssim", "lpips", "warping", "flicker", "tof", "tlp", "grid", "epe")
"""Those of vid2vid generators that few-shot generators are measured by too."""

_FIRST_TOO = ("psnr", "ssim", "lpips")
"""Those that count a subject's first frame with the others: it has a reference, and nothing is counted apart."""


def _of_subjects(measure: Measure) -> Measure:
    return attrs.evolve(measure, least_frames=1) if measure.name in _FIRST_TOO else measure


FEW_SHOT_MEASURES: tuple[Measure, ...] = (
    *(_of_subjects(measure) for measure in MEASURES if measure.name in SHARED_MEASURES),
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
        source=_PSNR_SOURCE,
        limits=f"a head outside of its true place costs where it is missing alone; {_PSNR_LIMITS}",
        needs=_MOVED_HEAD,
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
        source=_SSIM_SOURCE,
        limits=f"what is up to 5 pixels around the head has a say; {_SSIM_LIMITS}",
        needs=f"{_MOVED_HEAD}; {_WINDOW}",
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
        source=_FLOW_SOURCE,
        limits=f"{_FLOW_LIMITS}; another choice of reference is another task",
        needs=f"a generator that warps its reference; {_TEACHER}",
    ),
    *(
        Measure(
            name=f"colour_{name}",
            title=f"colour of {name}",
            unit="delta E",
            better="lower",
            digits=2,
            explanation=(
                f"Distance between the mean colours of {name}, as people see it (2.3 is just noticeable), over the "
                "pixels that show it in the true frame."
            ),
            source=_COLOUR_SOURCE,
            limits=_COLOUR_LIMITS,
            needs=_COLOUR_PIXELS,
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
        source=_COLOUR_SOURCE,
        limits=f"{_COLOUR_LIMITS}; regions count alike, the background as much as the skin",
        needs=_COLOUR_PIXELS,
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


def shown(name: str, totals: Mapping[str, Average], intervals: Mapping[str, Interval] | None = None) -> str:
    """Return a score as text with its decimals, or a dash where it does not exist or is not finite.

    `intervals`: those of scores that are to be shown with theirs, in brackets.
    """
    value, digits = mean_of(totals.get(name, Average())), measure_of(name).digits
    if not math.isfinite(value):
        return "–"
    interval = None if intervals is None else intervals.get(name)
    ends = "" if interval is None else f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    return f"{value:.{digits}f}{ends}"


def headed(measure: Measure) -> str:
    """Return a measure's heading: title, unit, and an arrow that points where better is."""
    unit = f", {measure.unit}" if measure.unit else ""
    return f"{measure.title}{unit} {'↑' if measure.better == 'higher' else '↓'}"


def needed_by(measure: Measure) -> str:
    """Return in words what there must be for a measure to exist: frames of a clip, and what else."""
    frames = "one frame is enough" if measure.least_frames == 1 else f"{measure.least_frames} frames of a clip"
    return f"{frames}; {measure.needs}" if measure.needs else frames
