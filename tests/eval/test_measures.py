"""What is said of measures: each has its source, limits and needs, and exists from as many frames on as it says."""

from functools import partial

import attrs
import pytest
import torch
from vs_data import REGIONS, Clip, References, cut
from vs_eval.pages.evaluation_page import meanings_section
from vs_eval.pages.found import structured
from vs_eval.report import measures_json
from vs_metrics.features import AlexLpipsConfig, build_lpips
from vs_nets import ClassMap, LabelSpec, Synthesis, Warp
from vs_training.quality.features import KINDS, FeatureGatherer, FeatureNetworks
from vs_training.quality.few_shot import score_subject_frame
from vs_training.quality.measures import FEW_SHOT_MEASURES, MEASURES, measure_of, needed_by
from vs_training.quality.reading import LABEL_ACCURACY, LABEL_AGREEMENT, LABEL_IOU
from vs_training.quality.scoring import GRID_LEAST, EvaluationSpec, roll_out, score_frame, score_views
from vs_training.quality.sets import SetMetric, set_metric_json
from vs_training.quality.still_grid import STILL_GRID

HIGH, WIDE, CLASSES, FRAMES = 32, 40, 2, 4
KIND = ClassMap(name="seg_maps", classes=CLASSES)
SPEC = EvaluationSpec(labels=LabelSpec(kinds=(KIND,)), past=1)


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A clip of which everything is known, with the very reference that its head moves away from."""
    random = torch.Generator().manual_seed(0)
    frames = torch.rand(FRAMES, 3, HIGH, WIDE, generator=random) * 2 - 1
    regions = torch.arange(HIGH * WIDE).reshape(HIGH, WIDE) // (HIGH * WIDE // len(REGIONS)) % len(REGIONS)
    flow, sure = torch.full((FRAMES, 2, HIGH, WIDE), 2.0), torch.ones(FRAMES, 1, HIGH, WIDE)
    sure[0] = 0
    ids = (torch.arange(WIDE) % CLASSES).expand(FRAMES, HIGH, WIDE)
    return Clip(
        frames=frames,
        labels={"seg_maps": ids},
        flow=flow,
        flow_confidence=sure,
        regions=regions.expand(FRAMES, HIGH, WIDE).byte(),
        references=References(
            frames=frames[:1],
            labels={"seg_maps": ids[:1]},
            flow=flow[:, None],
            flow_confidence=torch.ones(FRAMES, 1, 1, HIGH, WIDE),
        ),
    )


def generate(label, history):
    frame, flow = torch.zeros(1, 3, HIGH, WIDE), torch.zeros(1, 2, HIGH, WIDE)
    mask = torch.ones(1, 1, HIGH, WIDE)
    made = Synthesis(frame=frame, reference=Warp(flow=flow, mask=mask, frame=frame), chosen=torch.tensor([0]))
    return attrs.evolve(made, flow=flow, mask=mask, warped=frame) if history.frames else made


def names_of(clip, score, frames):
    networks = FeatureNetworks(lpips=build_lpips(AlexLpipsConfig(divisor=32)).eval())
    gather = FeatureGatherer(networks, score)
    totals = score_views(roll_out(generate, [cut(clip, 0, frames)], SPEC), name="x", score=gather).totals
    return {measure_of(name).name for name, average in totals.items() if average.weight > 0}


@pytest.mark.parametrize(
    ("measures", "score", "without"),
    [
        (MEASURES, partial(score_frame, classes=KIND), {"references": None}),
        (FEW_SHOT_MEASURES, partial(score_subject_frame, training=torch.zeros(len(REGIONS), 3)), {}),
    ],
    ids=["vid2vid", "few-shot"],
)
def test_measures_exist_from_as_many_frames_on_as_they_say(clip, measures, score, without):
    found = {frames: names_of(attrs.evolve(clip, **without), score, frames) for frames in range(1, FRAMES + 1)}
    assert found[FRAMES] == {measure.name for measure in measures}
    for measure in measures:
        assert [measure.name in found[frames] for frames in found] == [
            frames >= measure.least_frames for frames in found
        ], measure.name


@pytest.mark.parametrize(
    "measure",
    [*MEASURES, *FEW_SHOT_MEASURES],
    ids=[f"a-{m.name}" for m in MEASURES] + [m.name for m in FEW_SHOT_MEASURES],
)
def test_no_measure_lacks_source_limits_and_needs(measure):
    said = measures_json([measure])[measure.name]
    assert said["source"]
    assert said["limits"]
    assert said["explanation"]
    assert str(measure.least_frames) in said["needs"] or "one frame is enough" in said["needs"]


def test_no_measure_of_sets_lacks_them():
    for measure in (LABEL_IOU, LABEL_ACCURACY, LABEL_AGREEMENT, STILL_GRID, *KINDS.values()):
        assert measure.source
        assert measure.limits


def test_what_a_measure_needs_is_what_it_refuses_without(clip):
    assert needed_by(measure_of("grid/generated")).endswith(f"pictures of {GRID_LEAST} pixels a side")
    small = attrs.evolve(clip, frames=clip.frames[..., : GRID_LEAST - 1], references=None, flow=None, regions=None)
    assert "flow" in needed_by(measure_of("flicker/generated"))

    def paint(label, history):
        return Synthesis(frame=torch.zeros(1, 3, HIGH, GRID_LEAST - 1))

    small = attrs.evolve(small, labels={"seg_maps": small.labels["seg_maps"][..., : GRID_LEAST - 1]})
    totals = score_views(roll_out(paint, [small], SPEC), name="x").totals
    assert {measure_of(name).name for name in totals} == {"psnr", "ssim", "tof", "first_psnr", "first_ssim"}


def test_a_page_says_what_measures_need_of_sets_too_and_each_once(tmp_path):
    grid = set_metric_json(SetMetric(measure=STILL_GRID, value=1.0, frames=9))
    document = {"measures": measures_json(MEASURES), "sections": [{"sets": [grid]}, {"sets": [grid]}]}
    found = structured(document, tmp_path)
    terms = meanings_section([found, found]).terms
    meanings = dict(terms)
    assert len(meanings) == len(terms) == len(MEASURES) - 2 + 1  # those of first frames are no words of their own
    assert "Needs: 3 frames of a clip; a teacher's flow" in meanings["flicker (levels of 255, lower is better)"]
    still = meanings["grid that stays (levels of 255, lower is better)"]
    assert still == (
        f"Needs: 8 frames of all clips together. Limits: {STILL_GRID.limits}. Source: {STILL_GRID.source}."
    )
