"""What frames of a subject are measured by, on people whose every number can be worked out."""

from functools import partial

import attrs
import pytest
import torch
from vs_data import REGIONS, cut
from vs_eval.few_shot.tables import CLAIMS, DRIVING_CLAIMS, subject_clip_table, subject_tables
from vs_metrics import PSNR_CAP, colour_distances, masked_psnr, mean_of, psnr, ssim
from vs_nets import Synthesis, Warp
from vs_training.quality.few_shot import COLOUR_REGIONS, score_driven_frame, score_subject_frame
from vs_training.quality.scoring import EvaluationSpec, clip_scores, roll_out, score_views, single_frames
from vs_training.quality.summary import summarise

TRAINING = torch.zeros(len(REGIONS), 3)


@pytest.fixture
def spec(landmarks):
    return EvaluationSpec(labels=landmarks, past=1)


def painting(frames, *, chosen=None, flows=None):
    """A generator that returns these frames, and what it says of the reference: which it chose, and flows to it."""
    state = iter(range(len(frames)))

    def generate(label, history):
        t = next(state)
        warp = None
        if flows is not None:
            warp = Warp(flow=flows[t][None], mask=torch.ones(1, 1, *label.shape[-2:]), frame=frames[t][None])
        return Synthesis(
            frame=frames[t][None],
            reference=warp,
            chosen=None if chosen is None else torch.tensor([chosen]),
        )

    return generate


def evaluate(generator, clip, spec, *, references, training=TRAINING):
    score = partial(score_subject_frame, references=references, training=training)
    return score_views(roll_out(generator, [clip], spec), name="x", score=score)


def value(scores, name):
    return mean_of(scores.totals[name])


def test_scores_of_a_generator_that_is_too_bright_are_known(heads, spec):
    world = heads(6)
    clip = world.read_all(0, 3)
    scores = evaluate(painting(clip.frames + 0.2), clip, spec, references=(3,))
    for name in ("psnr", "head_psnr"):
        assert value(scores, f"{name}/generated") == pytest.approx(20.0, abs=1e-3)
        assert scores.totals[f"{name}/generated"].weight == 5  # the reference itself does not count
    others = torch.cat([clip.frames[:3], clip.frames[4:]])
    repeated = clip.frames[3].expand_as(others)
    assert value(scores, "psnr/repeated") == pytest.approx(float(psnr(repeated, others).mean()), rel=1e-5)
    assert value(scores, "ssim/repeated") == pytest.approx(float(ssim(repeated, others).mean()), rel=1e-4)
    assert value(scores, "head_psnr/warped") == PSNR_CAP  # the flow is exact there
    assert value(scores, "head_ssim/warped") > value(scores, "head_ssim/repeated")
    assert value(scores, "warping/real") == pytest.approx(0, abs=1e-4)
    assert scores.totals["warping/real"].weight == 4 * 64  # frames 1, 2, 4, 5
    assert (scores.frames, len(scores.curves["psnr/generated"])) == (6, 5)


def test_the_head_counts_where_it_has_moved_from_the_reference(heads, spec):
    still = heads(4, speed=0).read_all(0, 1)
    scores = evaluate(painting(still.frames + 0.2), still, spec, references=(1,))
    assert scores.totals["head_psnr/generated"].weight == 0
    assert scores.totals["psnr/generated"].weight == 3
    assert not [item for item in summarise([scores], CLAIMS).comparisons if "in the head" in item.claim]


def test_baselines_are_made_of_the_reference_that_the_generator_chose(heads, spec):
    clip = heads(7).read_all(0, 1, 5)
    for chosen, frame in ((0, 1), (1, 5)):
        scores = evaluate(painting(clip.frames, chosen=chosen), clip, spec, references=(1, 5))
        left = [t for t in range(7) if t not in (1, 5)]
        expected = psnr(clip.frames[frame].expand(5, -1, -1, -1), clip.frames[left]).mean()
        assert value(scores, "psnr/repeated") == pytest.approx(float(expected), rel=1e-5)
        assert value(scores, "head_psnr/warped") == PSNR_CAP
    first = evaluate(painting(clip.frames), clip, spec, references=(1, 5))  # it has not said which: the first
    also = evaluate(painting(clip.frames, chosen=0), clip, spec, references=(1, 5))
    assert first == also


def test_the_flow_to_the_reference_is_compared_with_no_motion(heads, spec):
    clip = heads(5).read_all(0, 2)
    flows = clip.references.flow[:, 0].clone()
    flows[:, 1] += 0.5
    scores = evaluate(painting(clip.frames, flows=flows), clip, spec, references=(2,))
    assert value(scores, "reference_epe/generated") == pytest.approx(0.5, rel=1e-5)
    assert value(scores, "reference_epe/zero") == pytest.approx((4 + 2 + 2 + 4) / 4, rel=1e-5)
    assert "epe/generated" not in scores.totals  # it has no flow from the previous frame


def test_identity_is_the_distance_of_mean_colours(heads, spec):
    world = heads(4)
    clip = world.read_all(0, 1)
    true = world.colours(0)
    wrong = world.colours(7)
    ids = clip.regions.long()
    scores = evaluate(painting(wrong[ids].movedim(-1, 1)), clip, spec, references=(1,), training=TRAINING)
    expected = {
        "generated": colour_distances(wrong, true),
        "training": colour_distances(TRAINING, true),
        "to_training": colour_distances(wrong, TRAINING),
    }
    four = [REGIONS.index(name) for name in COLOUR_REGIONS]
    for method, distances in expected.items():
        for name, index in zip(COLOUR_REGIONS, four, strict=True):
            assert value(scores, f"colour_{name}/{method}") == pytest.approx(float(distances[index]), rel=1e-4)
        assert value(scores, f"colour/{method}") == pytest.approx(float(distances[four].mean()), rel=1e-4)
    assert "colour_features/generated" not in scores.totals


def test_claims_hold_for_who_paints_the_truth_and_not_for_who_paints_the_mean(heads, spec):
    clip = heads(5).read_all(0, 2)
    good = evaluate(painting(clip.frames, flows=clip.references.flow[:, 0]), clip, spec, references=(2,))
    held = {item.claim: item.holds for item in summarise([good], CLAIMS).comparisons}
    assert len(held) == len(CLAIMS) - 1  # all but the flow from the previous frame
    assert all(held.values())
    plain = torch.zeros_like(clip.frames)
    bad = evaluate(painting(plain, flows=torch.zeros(5, 2, 16, 40)), clip, spec, references=(2,))
    assert not any(item.holds for item in summarise([bad], CLAIMS).comparisons if "PSNR" not in item.claim)


def test_what_nobody_knows_is_left_out(heads, spec):
    clip = heads(4).read_all(0, 1)
    blind = attrs.evolve(clip, regions=None)
    names = evaluate(painting(clip.frames), blind, spec, references=(1,)).totals
    assert {"psnr/generated", "psnr/warped", "warping/generated"} <= names.keys()
    assert not [name for name in names if name.startswith(("head", "colour"))]
    references = attrs.evolve(clip.references, flow=None, flow_confidence=None)
    bare = attrs.evolve(blind, references=references, flow=None, flow_confidence=None)
    names = evaluate(painting(clip.frames, flows=clip.flow), bare, spec, references=(1,)).totals
    pictures = {f"{measure}/{method}" for measure in ("psnr", "ssim") for method in ("generated", "repeated")}
    assert set(names) == pictures | {"tof/generated"}  # and these pictures are too small for a grid


def drive(generator, world, spec, *, subject, driver):
    clip = world.read_all(driver, 1, subject=subject)
    views = roll_out(generator, [clip], spec, single_frames([world.read_all(driver)]))
    return score_views(views, name="driven", score=score_driven_frame)


def test_driven_subjects_are_compared_with_the_truth_and_the_driving_person(heads, spec):
    world = heads(5, 5)
    own, theirs = world.read_all(1, 1, subject=0).frames, world.read_all(1).frames
    assert not torch.equal(own, theirs)
    right = drive(painting(own), world, spec, subject=0, driver=1)
    wrong = drive(painting(theirs), world, spec, subject=0, driver=1)
    four = [REGIONS.index(name) for name in COLOUR_REGIONS]
    apart = float(colour_distances(world.colours(0), world.colours(1))[four].mean())
    assert value(right, "head_psnr/generated") == PSNR_CAP
    assert value(right, "colour/generated") == pytest.approx(0, abs=1e-2)
    assert value(wrong, "colour/to_driver") == pytest.approx(0, abs=1e-2)
    for scores, name in ((right, "colour/to_driver"), (wrong, "colour/generated"), (right, "colour/driver")):
        assert value(scores, name) == pytest.approx(apart, rel=1e-3)
    claim = "identity colours closer to the subject's than to the driving person's"
    for scores, holds in ((right, True), (wrong, False)):
        made = {item.claim: item.holds for item in summarise([scores], DRIVING_CLAIMS).comparisons}
        assert made[claim] is holds
    assert right.totals["psnr/generated"].weight == 5  # no frame of the driving sequence is a reference


def test_driven_subjects_without_a_truth_have_no_scores(heads, spec):
    world = heads(4, 4, known=False)
    assert drive(painting(world.read_all(1).frames), world, spec, subject=0, driver=1).totals == {}


def test_tables_have_a_row_for_each_method_and_a_column_for_what_there_is(heads, spec):
    clip = heads(5).read_all(0, 2)
    scores = evaluate(painting(clip.frames + 0.2, flows=clip.references.flow[:, 0]), clip, spec, references=(2,))
    report = summarise([scores], CLAIMS)
    frames, change, motion, identity, comparisons = subject_tables(report)
    assert [row[0] for row in frames.rows] == [
        "generated",
        "reference repeated",
        "reference warped by the teacher's flow",
    ]
    assert frames.rows[0][1] == frames.rows[0][3] == "20.00"
    assert frames.note == (
        "4 frames are counted. In 4 of them the head has moved: those are counted in the head. "
        "No intervals: 1 clip, and bootstrap over clips needs 5."
    )
    assert [row[0] for row in change.rows] == ["generated", "real video"]
    assert motion.rows[0] == ("generated flow", "0.000")
    assert identity.rows[0][0] == "generated frame to true frame"
    assert len(comparisons.rows) == len(report.comparisons)
    each = subject_clip_table(report)
    assert all(len(row) == len(each.heads) for row in each.rows)
    empty = summarise([clip_scores("x", [{}, {}], ())], CLAIMS)
    assert subject_tables(empty) == ()


def test_the_weights_of_the_head_are_frames_and_not_pixels(heads, spec):
    clip = heads(4).read_all(0, 0)
    frames = clip.frames.clone()
    frames[1] += 0.2
    frames[2] += 0.1
    scores = evaluate(painting(frames), cut(clip, 0, 3), spec, references=(0,))
    assert value(scores, "head_psnr/generated") == pytest.approx((20.0 + 26.0206) / 2, abs=1e-3)
    head = clip.labels["landmarks-dlib68"][1:3]
    repeated, _ = masked_psnr(clip.frames[:1].expand(2, -1, -1, -1), clip.frames[1:3], head)
    assert value(scores, "head_psnr/repeated") == pytest.approx(float(repeated.mean()), rel=1e-5)
