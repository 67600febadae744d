"""The tables of a few-shot evaluation, and what is claimed of it."""

from collections.abc import Mapping

from vs_metrics import Average
from vs_training.quality.few_shot import COLOUR_REGIONS
from vs_training.quality.measures import headed, measure_of, method_of, shown
from vs_training.quality.summary import Claim, Report

from vs_eval.report import Table, change_table, comparison_table, score_table, set_table, with_intervals

METHODS: Mapping[str, str] = {
    "generated": "generated",
    "repeated": "reference repeated",
    "warped": "reference warped by the teacher's flow",
    "real": "real video",
}

FLOWS: Mapping[str, str] = {"generated": "generated flow", "zero": "zero flow"}

COLOURS: Mapping[str, str] = {
    "generated": "generated frame to true frame",
    "training": "mean of the training split to true frame",
    "to_training": "generated frame to mean of the training split",
    "driver": "driving frame to true frame",
    "to_driver": "generated frame to driving frame",
}

HEAD_CLAIMS: tuple[Claim, ...] = (
    (
        "PSNR in the head above the repeated reference, where the head has moved",
        "head_psnr/generated",
        "head_psnr/repeated",
    ),
    (
        "SSIM in the head above the repeated reference, where the head has moved",
        "head_ssim/generated",
        "head_ssim/repeated",
    ),
)

FLOW_CLAIMS: tuple[Claim, ...] = (
    ("flow from the previous frame closer to the teacher's than zero flow", "epe/generated", "epe/zero"),
    (
        "flow from the reference closer to the teacher's than zero flow",
        "reference_epe/generated",
        "reference_epe/zero",
    ),
)

CLAIMS: tuple[Claim, ...] = (
    *HEAD_CLAIMS,
    ("identity colours closer to the subject's than the training mean is", "colour/generated", "colour/training"),
    ("identity colours closer to the subject's than to the training mean", "colour/generated", "colour/to_training"),
    *(
        (f"{name}: colour closer to the subject's than the training mean is", f"colour_{name}/generated", other)
        for name, other in ((name, f"colour_{name}/training") for name in COLOUR_REGIONS)
    ),
    *FLOW_CLAIMS,
)

DRIVING_CLAIMS: tuple[Claim, ...] = (
    *HEAD_CLAIMS,
    (
        "identity colours closer to the subject's than to the driving person's",
        "colour/generated",
        "colour/to_driver",
    ),
    *FLOW_CLAIMS,
)


def subject_tables(report: Report) -> tuple[Table, ...]:
    """Return the tables of frames, change, motion, identity, sets and comparisons for which there are scores."""
    made = [
        _frame_table(report),
        change_table(report, METHODS),
        _motion_table(report),
        _identity_table(report),
        set_table(report),
        comparison_table(report.comparisons),
    ]
    return tuple(table for table in made if table.rows)


def subject_clip_table(report: Report) -> Table:
    """Return one row for each clip: what the generator scored on it."""
    wanted = ("psnr", "ssim", "head_psnr", "head_ssim")
    names = [f"{measure}/{method}" for measure in wanted for method in ("generated", "repeated")]
    present = [name for name in (*names, "colour/generated", "warping/generated") if name in report.totals]
    heads = tuple(f"{headed(measure_of(name))} ({METHODS[method_of(name)]})" for name in present)
    rows = tuple(
        (clip.name, str(clip.frames), *(shown(name, clip.totals) for name in present)) for clip in report.clips
    )
    return Table(title="Each clip", heads=("clip", "frames", *heads), rows=rows)


def _frame_table(report: Report) -> Table:
    totals = report.totals
    counted = int(totals.get("psnr/generated", Average()).weight)
    moved = int(totals.get("head_psnr/generated", Average()).weight)
    note = f"{counted} frames are counted."
    if "head_psnr/generated" in totals:
        note += f" In {moved} of them the head has moved: those are counted in the head."
    measures = ("psnr", "ssim", "lpips", "head_psnr", "head_ssim", "grid")
    return score_table("Frames", METHODS, measures, report, "video", with_intervals(note, report))


def _motion_table(report: Report) -> Table:
    note = "Flow from the previous frame exists once the generator has enough past frames."
    return score_table("Motion", FLOWS, ("epe", "reference_epe"), report, "flow", note)


def _identity_table(report: Report) -> Table:
    measures = (*(f"colour_{name}" for name in COLOUR_REGIONS), "colour")
    return score_table("Identity", COLOURS, measures, report, "distance of mean colours", "")
