import json
import math

import attrs
import pytest
import torch
from vs_data import cut, iterate_sequence, move
from vs_eval.output import write_json
from vs_eval.report import broken_frames, tables, to_json
from vs_eval.videos import training_colours
from vs_metrics import PSNR_CAP, class_mean_colours, mean_of, paint_classes, psnr
from vs_nets import ClassMap, FloatMap, LabelSpec, Synthesis
from vs_training.quality.scoring import EvaluationSpec, evaluate_clip, evaluate_pieces, roll_out
from vs_training.quality.summary import summarise


@pytest.fixture
def spec(labels, clip):
    colours = class_mean_colours([(clip.frames, clip.labels["seg_maps"])], num_classes=5)
    return EvaluationSpec(labels=labels, past=2, colours=colours)


def value(scores, name):
    return mean_of(scores.totals[name])


def test_scores_of_a_generator_that_is_too_bright_are_known(clip, spec, replay, device):
    spec = attrs.evolve(spec, device=device)
    scores = evaluate_clip(replay(move(clip, device), offset=0.2, guess=1.5), clip, spec)
    assert (scores.name, scores.frames) == ("town/0", 6)
    assert value(scores, "psnr/generated") == pytest.approx(20.0, abs=1e-3)
    assert value(scores, "first_psnr/generated") == pytest.approx(20.0, abs=1e-3)
    assert scores.totals["psnr/generated"].weight == 5
    assert scores.totals["first_psnr/generated"].weight == 1
    assert value(scores, "warping/real") == pytest.approx(0.0, abs=1e-4)
    assert value(scores, "warping/generated") == pytest.approx(0.0, abs=1e-4)
    assert value(scores, "warping/class_mean") == pytest.approx(0.0, abs=1e-4)
    assert value(scores, "epe/generated") == pytest.approx(0.5, abs=1e-5)
    assert value(scores, "epe/zero") == pytest.approx(2.0, abs=1e-5)
    assert scores.totals["epe/zero"].weight == 4 * 16 * 46  # frames 2 to 5, confident pixels


def test_flow_counts_apart_where_something_moves(clip, spec, replay):
    flow = clip.flow.clone()
    flow[..., 8:, :] *= 0.2  # half of each frame hardly moves: by 0.4 pixels
    scores = evaluate_clip(replay(clip, offset=0.0, guess=1.5), attrs.evolve(clip, flow=flow), spec)
    assert value(scores, "moving_epe/generated") == pytest.approx(0.5, abs=1e-5)
    assert value(scores, "moving_epe/zero") == pytest.approx(2.0, abs=1e-5)
    assert scores.totals["moving_epe/zero"].weight == scores.totals["epe/zero"].weight / 2
    assert value(scores, "epe/generated") > 0.5


def test_a_person_is_measured_where_it_is_known_to_be(clip, spec, replay):
    regions = torch.zeros(6, 16, 48, dtype=torch.uint8)
    regions[:, 4:8, 10:20] = torch.arange(1, 5, dtype=torch.uint8).repeat_interleave(10).view(4, 10)
    frames = clip.frames.clone()
    frames[:, :, 4:8, 10:20] += 0.2  # off by a tenth of the range there, elsewhere by nothing
    scores = evaluate_clip(
        replay(clip, offset=0.0, guess=None), attrs.evolve(clip, frames=frames, regions=regions), spec
    )
    assert value(scores, "person_psnr/generated") == pytest.approx(20.0, abs=1e-3)
    assert value(scores, "psnr/generated") == pytest.approx(20.0 + 10 * math.log10(16 * 48 / 40), abs=1e-3)
    assert scores.totals["person_psnr/class_mean"].weight == 5
    assert "person_psnr/generated" not in evaluate_clip(replay(clip, offset=0.0, guess=None), clip, spec).totals


def test_flicker_raises_the_temporal_warping_error(clip, spec, replay):
    steady = replay(clip, offset=0.0, guess=None)

    def flickering(label, history):
        synthesis = steady(label, history)
        flickering.sign = -flickering.sign
        return Synthesis(frame=synthesis.frame + 0.1 * flickering.sign)

    flickering.sign = 1.0
    assert value(evaluate_clip(flickering, clip, spec), "warping/generated") == pytest.approx(0.2 * 127.5, rel=1e-4)


def test_baselines_are_painted_classes_and_the_frame_before(clip, spec, replay):
    scores = evaluate_clip(replay(clip, offset=0.0, guess=None), clip, spec)
    painted = paint_classes(clip.labels["seg_maps"], spec.colours)
    assert value(scores, "psnr/class_mean") == pytest.approx(float(psnr(painted, clip.frames)[1:].mean()), rel=1e-5)
    expected = float(psnr(clip.frames[:-1], clip.frames[1:]).mean())
    assert value(scores, "psnr/previous") == pytest.approx(expected, rel=1e-5)
    assert "first_psnr/previous" not in scores.totals


def test_equal_frames_count_as_the_cap(clip, spec, replay):
    scores = evaluate_clip(replay(clip, offset=0.0, guess=None), clip, spec)
    assert value(scores, "psnr/generated") == PSNR_CAP
    assert scores.curves["psnr/generated"] == (PSNR_CAP,) * 6
    assert len(scores.curves["ssim/previous"]) == 5


def test_differences_to_the_real_frame_are_in_levels_of_255(clip, spec, replay):
    scores = evaluate_clip(replay(clip, offset=0.2, guess=2.0), clip, spec)
    seen = clip.frames[2:]
    repeated = float((clip.frames[1:-1] - seen).abs().mean()) * 127.5
    assert value(scores, "l1/repeated_real") == pytest.approx(repeated, rel=1e-5)
    assert value(scores, "l1/repeated_generated") == pytest.approx(
        float((clip.frames[1:-1] + 0.2 - seen).abs().mean()) * 127.5, rel=1e-5
    )
    assert value(scores, "l1/warped_real") == value(scores, "l1/warped_real_by_teacher")  # both flows are 2 pixels
    rolled = (clip.frames[1:-1] + 0.2).roll(-2, dims=-1)
    assert value(scores, "l1/warped_generated") == pytest.approx(float((rolled - seen).abs().mean()) * 127.5, rel=1e-5)
    assert scores.totals["l1/warped_real"].weight == 4


def test_a_generator_that_never_warps_has_no_motion_scores(clip, spec, replay):
    scores = evaluate_clip(replay(clip, offset=0.0, guess=None), clip, spec)
    assert not [name for name in scores.totals if name.startswith(("epe", "l1"))]


def test_without_a_teacher_only_what_needs_it_is_missing(clip, spec, replay):
    bare = attrs.evolve(clip, flow=None, flow_confidence=None)
    names = evaluate_clip(replay(clip, offset=0.1, guess=1.0), bare, spec).totals
    assert "psnr/generated" in names
    assert "l1/warped_real" in names
    assert not [name for name in names if name.startswith(("epe", "warping")) or "teacher" in name]


def test_pixels_without_a_class_count_for_none_whatever_id_the_data_has_there(world, clip, spec):
    kind = ClassMap(name="seg_maps", classes=4, ignore_id=4)
    colours = training_colours(world, kind, frames=10)
    seen = sum(int((world.read_all(index).labels["seg_maps"] != 4).sum()) for index in range(2))
    assert int(colours.counts.sum()) == seen < 10 * 16 * 48

    def plain(label, history):
        return Synthesis(frame=torch.zeros(1, 3, 16, 48))

    changed = attrs.evolve(spec, labels=LabelSpec((kind,)), colours=colours)
    painted = next(iter(roll_out(plain, [clip], changed))).painted
    nothing = painted.movedim(1, -1)[clip.labels["seg_maps"][:1] == 4]
    torch.testing.assert_close(nothing, colours.overall.expand_as(nothing))


def test_without_classes_there_is_no_class_baseline(clip, replay):
    spec = EvaluationSpec(labels=LabelSpec((FloatMap(name="edges", channels=5),)), past=2)
    edged = attrs.evolve(clip, labels={"edges": torch.rand(6, 5, 16, 48)})
    scores = evaluate_clip(replay(clip, offset=0.1, guess=None), edged, spec)
    assert "psnr/generated" in scores.totals
    assert not [name for name in scores.totals if "class_mean" in name]


def test_one_frame_has_scores_of_its_own_only(clip, spec, replay):
    scores = evaluate_clip(replay(clip, offset=0.2, guess=1.0), cut(clip, 0, 1), spec)
    assert set(scores.totals) == {
        f"first_{measure}/{method}" for measure in ("psnr", "ssim") for method in ("generated", "class_mean")
    }


@pytest.mark.parametrize("chunk", [1, 2, 4, 6])
def test_a_clip_in_pieces_scores_as_the_whole_one(world, clip, spec, replay, chunk):
    whole = evaluate_clip(replay(clip, offset=0.2, guess=1.5), clip, spec)
    pieces = iterate_sequence(world, 0, chunk=chunk)
    assert evaluate_pieces(replay(clip, offset=0.2, guess=1.5), pieces, spec, name="town/0") == whole


def test_frames_are_watched_in_order_and_made_from_generated_ones_only(clip, spec):
    seen = []

    def counting(label, history):
        before = float(history.frames[-1].mean()) if history.frames else -0.1
        assert torch.is_inference_mode_enabled()
        return Synthesis(frame=torch.full((1, 3, 16, 48), before + 0.1))

    evaluate_clip(counting, clip, spec, watch=seen.append)
    assert [view.index for view in seen] == list(range(6))
    assert [round(float(view.synthesis.frame.mean()), 4) for view in seen] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    for index, view in enumerate(seen):
        assert torch.equal(view.truth.frames[0], clip.frames[index])
        assert torch.equal(view.truth.labels["seg_maps"][0], clip.labels["seg_maps"][index])
        assert torch.equal(view.truth.flow[0], clip.flow[index])


def test_one_piece_is_read_at_a_time(clip, spec, replay):
    reached = []

    def pieces():
        for index in range(3):
            reached.append(index)
            yield cut(clip, 2 * index, 2 * index + 2)

    for view in roll_out(replay(clip, offset=0.0, guess=None), pieces(), spec):
        assert reached[-1] == view.index // 2
    assert reached == [0, 1, 2]


def test_low_precision_output_is_scored_in_float32(clip, spec, replay):
    def halved(label, history):
        made = exact(label, history)
        return attrs.evolve(made, frame=made.frame.bfloat16())

    exact = replay(clip, offset=0.2, guess=None)
    views = list(roll_out(halved, [clip], spec))
    assert {view.synthesis.frame.dtype for view in views} == {torch.float32}


def test_training_colours_are_means_over_frames_spread_over_all_sequences(world, labels):
    few = training_colours(world, labels.kinds[0], frames=5)
    assert int(few.counts.sum()) == 5 * 16 * 48
    every = training_colours(world, labels.kinds[0], frames=1000)
    assert int(every.counts.sum()) == 10 * 16 * 48
    clips = [next(iterate_sequence(world, index)) for index in range(2)]
    direct = class_mean_colours([(c.frames, c.labels["seg_maps"]) for c in clips], num_classes=5)
    torch.testing.assert_close(every.colours, direct.colours)
    assert not math.isnan(float(few.colours.sum()))


def test_frames_that_are_not_finite_are_counted_and_say_so(clip, spec, replay, tmp_path):
    steady = replay(clip, offset=0.2, guess=1.5)
    frames = iter(range(6))

    def breaking(label, history):
        synthesis, broken = steady(label, history), {3: math.nan, 4: math.inf}.get(next(frames), 0.0)
        return attrs.evolve(synthesis, frame=synthesis.frame + broken)

    whole = evaluate_clip(replay(clip, offset=0.2, guess=1.5), clip, spec)
    report = summarise([evaluate_clip(breaking, clip, spec), whole])
    assert [scored.broken for scored in report.clips] == [(3, 4, 5), ()]  # 5 was warped from 4
    (notice,) = broken_frames([report])
    assert "3 of 12 generated frames" in notice
    assert "frame 4 of town/0" in notice
    assert all(item.claim != "PSNR above the mean colour of each class" for item in report.comparisons)
    write_json(tmp_path / "x.json", to_json(report, {}))
    document = json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail)
    assert "psnr/generated" not in document["scores"]
    assert "psnr/class_mean" in document["scores"]
    assert document["clips"][0]["curves"]["psnr/generated"][3:5] == [None, None]
    assert not any(cell in ("nan", "inf", "-inf") for table in tables(report) for row in table.rows for cell in row)
    assert broken_frames([summarise([whole])]) == ()


def test_a_flow_that_is_not_finite_is_counted(clip, spec, replay):
    steady = replay(clip, offset=0.2, guess=1.5)

    def breaking(label, history):
        synthesis = steady(label, history)
        return synthesis if synthesis.flow is None else attrs.evolve(synthesis, flow=synthesis.flow * math.nan)

    assert evaluate_clip(breaking, clip, spec).broken == (2, 3, 4, 5)
