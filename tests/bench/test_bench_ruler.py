"""The ruler: faults are of the size that they say, and what is said of responses follows from hand-made ones."""

import json
import math

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor
from vs_bench.__main__ import main as benchmarks
from vs_bench.errors import VsBenchError
from vs_bench.ruler import command, faults
from vs_bench.ruler.faults import FAULTS, Fault
from vs_bench.ruler.measuring import judge_estimator, measure_world
from vs_bench.ruler.metrics import Judges, Metric, clip_values, features_of, set_values
from vs_bench.ruler.report import bias_of, cell_of, table_of_responses, table_of_sight
from vs_bench.ruler.responses import Response
from vs_bench.ruler.scenes import LEAD, Scene, config_of, estimated_motion, read_scenes, saved_frames, scene_of
from vs_data import Clip, StreetConfig, cut, open_source
from vs_metrics import colour_distances, combine, flicker_errors, grid_amplitudes, mean_of
from vs_metrics.features import (
    AlexLpipsConfig,
    I3dConfig,
    InceptionConfig,
    build_i3d,
    build_inception,
    build_lpips,
)
from vs_nets import Synthesis
from vs_training.quality.features import FeatureNetworks
from vs_training.quality.scoring import LEVELS, FrameView, score_frame, score_views

LENGTH, SIZE = 6, (24, 32)


def scene_with(frames: Tensor, *, before: Tensor | None = None, other: Tensor | None = None) -> Scene:
    """Return a scene of frames in which nothing moves, so far as its flow says."""
    length, _, height, width = frames.shape
    flow, confidence = torch.zeros(length, 2, height, width), torch.ones(length, 1, height, width)
    confidence[0] = 0
    return Scene(
        clip=Clip(frames=frames, flow=flow, flow_confidence=confidence, name="hand-made"),
        before=frames[:1].expand(LEAD, -1, -1, -1) if before is None else before,
        other=other,
        saved=frames,
        flow=flow,
        confidence=confidence,
    )


def grey(value: float = 0.0) -> Scene:
    return scene_with(torch.full((LENGTH, 3, *SIZE), value))


def noise(seed: int = 0) -> Scene:
    frames = 1.6 * torch.rand(LEAD + LENGTH, 3, *SIZE, generator=torch.Generator().manual_seed(seed)) - 0.8
    return scene_with(frames[LEAD:], before=frames[:LEAD], other=-frames[LEAD:])


@given(levels=st.floats(0.1, 100))
def test_flicker_of_so_many_levels_is_measured_as_such(levels):
    scene = grey()
    errors, weights = flicker_errors(faults.flicker(scene, levels), scene.clip.flow, scene.clip.flow_confidence)
    assert LEVELS * errors[weights > 0] == pytest.approx(levels, rel=1e-4)


def test_what_lags_was_there_before_and_between_frames_it_is_a_blend():
    scene = noise()
    whole = torch.cat([scene.before, scene.clip.frames])
    for late in range(LEAD + 1):
        assert torch.equal(faults.lag(scene, late), whole[LEAD - late : len(whole) - late])
    half = (faults.lag(scene, 1) + faults.lag(scene, 2)) / 2
    assert torch.allclose(faults.lag(scene, 1.5), half, atol=1e-6)


def test_a_ghost_fades_by_its_share_with_each_frame():
    frames = torch.zeros(LENGTH, 3, *SIZE)
    scene = scene_with(frames, before=torch.ones(LEAD, 3, *SIZE))
    shown = faults.ghost(scene, 0.4)[:, 0, 0, 0]
    assert shown.numpy() == pytest.approx(0.4 ** np.arange(1, LENGTH + 1), rel=1e-5)


def test_drift_of_colour_grows_with_each_frame():
    drifted = LEVELS * (faults.drift_of_colour(grey(), 2.0) - grey().clip.frames)
    expected = 2.0 * np.outer(np.arange(LENGTH), [1, 0, -1])
    assert drifted.mean(dim=(2, 3)).numpy() == pytest.approx(expected, abs=1e-3)


def test_drift_of_position_moves_by_so_many_pixels_with_each_frame():
    scene = noise()
    drifted = faults.drift_of_position(scene, 1.0)
    for time in range(LENGTH):
        moved = scene.clip.frames[time, :, :, : SIZE[1] - time]
        assert torch.allclose(drifted[time, :, :, time:], moved, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blur_is_the_gaussian_of_another_library(sigma):
    scene = noise()
    expected = gaussian_filter(scene.clip.frames.numpy(), sigma, axes=(2, 3), mode="mirror")
    assert faults.blur(scene, sigma).numpy() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("delta", [0.5, 2.5, 10, 20])
def test_a_shift_of_colour_is_so_many_delta_e(delta):
    scene = grey()
    shifted = faults.shift_of_colour(scene, delta)
    distances = colour_distances(shifted.movedim(1, -1), scene.clip.frames.movedim(1, -1))
    assert distances.numpy() == pytest.approx(delta, rel=0.02)


def test_a_grid_has_its_amplitude():
    assert LEVELS * grid_amplitudes(faults.grid(grey(), 3.0)) == pytest.approx(3.0, rel=1e-3)


def test_a_frozen_video_shows_each_picture_for_so_long():
    frames = faults.freeze(noise(), 4)
    assert [int((frames == frame).all(dim=(1, 2, 3)).sum()) for frame in frames] == [4, 4, 4, 4, 2, 2]


def test_somebody_else_is_there_in_part_or_as_a_whole_or_not_to_be_had():
    scene = noise()
    assert torch.equal(faults.wrong_identity(scene, 1.0), scene.other)
    assert torch.allclose(faults.wrong_identity(scene, 0.25), 0.5 * scene.clip.frames, atol=1e-6)
    with pytest.raises(ValueError, match="nobody"):
        faults.wrong_identity(grey(), 0.5)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_larger_faults_are_farther_from_the_truth_and_none_of_no_size_is_one(fault):
    picture = 0.3 * noise().clip.frames[0]
    whole = picture + 0.03 * torch.arange(LEAD + LENGTH)[:, None, None, None]  # it gets brighter, so that time shows
    scene = scene_with(whole[LEAD:], before=whole[:LEAD], other=-whole[LEAD:])
    none = 1.0 if fault.name == "frozen" else 1e-3
    distances = [float((fault.plant(scene, size) - scene.clip.frames).abs().mean()) for size in (none, *fault.sizes)]
    assert distances[0] < 0.01
    assert distances == sorted(distances)
    for size in fault.sizes:
        planted = fault.plant(scene, size)
        assert planted.shape == scene.clip.frames.shape
        assert planted.abs().max() <= 1


@pytest.fixture(scope="module")
def street():
    config = StreetConfig(height=32, width=64, sequence_length=LEAD + LENGTH, val_sequences=1)
    return scene_of(open_source(config, "val"), 0)


def test_values_are_those_of_an_evaluation(street):
    """Held against the path by which an evaluation scores frames one by one."""
    frames = faults.blur(street, 1.0)
    values = clip_values(street, frames, Judges())

    def totals(clip: Clip):
        views = [
            FrameView(index=t, truth=cut(clip, t, t + 1), synthesis=Synthesis(frame=frames[t : t + 1]))
            for t in range(LENGTH)
        ]
        return score_views(views, name="clip", score=score_frame).totals

    found = totals(street.clip)
    for name in ("warping", "flicker", "tof"):
        assert values[name] == pytest.approx(mean_of(found[f"{name}/generated"]), rel=1e-5)
    for name in ("psnr", "ssim"):
        parts = combine([found[f"{name}/generated"], found[f"first_{name}/generated"]])
        assert values[name] == pytest.approx(mean_of(parts), rel=1e-5)
    estimated = totals(attrs.evolve(street.clip, flow=street.flow, flow_confidence=street.confidence))
    for name in ("warping", "flicker"):
        assert values[f"{name}_estimated"] == pytest.approx(mean_of(estimated[f"{name}/generated"]), rel=1e-5)


def test_a_saved_video_is_nearly_the_true_one(street):
    difference = (street.saved - street.clip.frames).abs().mean()
    assert 0 < LEVELS * difference < 6
    odd = street.clip.frames[..., :31, :63]
    assert saved_frames(odd).shape == odd.shape


def test_estimated_motion_is_nothing_where_nothing_moves():
    flow, confidence = estimated_motion(noise().clip.frames[:1].expand(3, -1, -1, -1))
    assert flow.abs().max() < 0.1
    assert confidence[0].max() == 0
    assert confidence[1:].min() > 0.9
    found = judge_estimator([noise()])
    assert (found.error, found.motion, found.exact) == (0, 0, 1)


def test_faces_have_somebody_else_in_the_same_motion():
    config = attrs.evolve(config_of("faces", clips=1, frames=2, seed=0), height=32, width=32)
    (scene,) = read_scenes(config, 1)
    values = clip_values(scene, faults.wrong_identity(scene, 1.0), Judges())
    assert values["colour"] > 10
    assert clip_values(scene, scene.clip.frames, Judges())["colour"] == 0


METRIC = Metric(name="psnr", title="PSNR", unit="dB", better="higher", digits=2)
FAULT = Fault(name="blur", unit="pixels", sizes=(1, 2, 4), plant=faults.blur, explanation="")


def response(*planted: float, saved: float = 38.0, better: str = "higher") -> Response:
    """Return a response of two clips, 40 dB without fault; one is a dB above the mean, and one below it."""
    return Response(
        metric=attrs.evolve(METRIC, better=better),
        fault=FAULT,
        true=(41.0, 39.0),
        saved=(saved + 1, saved - 1),
        planted=tuple((value + 1, value - 1) for value in planted),
    )


@pytest.mark.parametrize(
    ("planted", "verdict", "visible", "rank", "cell"),
    [
        ((39, 37, 30), "sees", 2, 1.0, "2"),
        ((37, 39, 30), "sees", 4, 0.8, "4 ~"),
        ((39, 38.5, 38), "blind", None, 1.0, "–"),
        ((41, 43, 44), "rewards", 2, -1.0, "(2)"),
        ((40, 40, 40), "blind", None, 0.0, "–"),
        ((30, 30, 40), "blind", None, 0.0, "–"),
    ],
)
def test_what_is_said_of_a_response(planted, verdict, visible, rank, cell):
    found = response(*planted)
    assert found.band == pytest.approx(2)
    assert (found.verdict, found.visible, cell_of(found)) == (verdict, visible, cell)
    assert found.rank == pytest.approx(rank, abs=0.01)


def test_where_lower_is_better_a_rise_is_for_the_worse():
    found = response(41, 43, 50, better="lower")
    assert found.changes == pytest.approx((1, 3, 10))
    assert found.verdict == "sees"


def test_a_world_is_measured_and_told_of(street):
    told = []
    chosen = [fault for fault in FAULTS if fault.name in ("flicker", "blur")]
    found = measure_world([street], chosen, Judges(), lambda done, total: told.append((done, total)))
    assert told == [(number, 10) for number in range(10)]
    cells = {(each.metric.name, each.fault.name): each for each in found}
    assert cells["flicker", "flicker"].rank == pytest.approx(1)
    assert cells["flicker", "blur"].changes[-1] < 0
    assert cells["psnr", "blur"].true == (100,)
    bias = bias_of(found)
    assert bias["flicker"]["without fault"]["exact"] == pytest.approx(cells["flicker", "blur"].true[0])
    assert bias["flicker"]["flicker"]["estimated"] == cells["flicker_estimated", "flicker"].changes[-1]
    assert table_of_responses(found, "title").row_count == 2 * (1 + len({name for name, _ in cells}))
    assert len(table_of_sight(found, "title").columns) == 3


def test_feature_networks_measure_too_and_those_of_sets_refuse_few_frames(street):
    networks = FeatureNetworks(
        lpips=build_lpips(AlexLpipsConfig(divisor=32)).eval(),
        inception=build_inception(InceptionConfig(divisor=64, size=75)).eval(),
        i3d=build_i3d(I3dConfig(classes=3, divisor=32, size=32, frames=9)).eval(),
    )
    real, values = features_of(networks, street.clip.frames, "real"), clip_values(street, street.saved, Judges())
    found = clip_values(street, faults.blur(street, 2.0), Judges(networks=networks))
    assert found.keys() - values.keys() == {"lpips", "tlp"}
    assert found["lpips"] > 0
    assert len(real["inception/real"]) == LENGTH
    assert len(real["i3d/real"]) == LENGTH // 9
    made = features_of(networks, street.clip.frames, "generated")
    few, many = set_values(networks, [real], [made]), set_values(networks, [real] * 9, [made] * 9)
    assert all(math.isnan(value) for value in few.values())
    named = {metric.name: value for metric, value in many.items()}
    assert named["fid"] == pytest.approx(0, abs=1e-6)
    told = measure_world([street], FAULTS[:1], Judges(networks=networks))
    assert {each.metric.name for each in told} >= {"lpips", "tlp"}
    assert "fid" not in {each.metric.name for each in told}


def test_the_command_measures_and_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "folder_of", lambda store: tmp_path)
    monkeypatch.setattr(command, "judges_of", lambda *_, **__: Judges())
    monkeypatch.setattr(command, "FAULTS", FAULTS[:1])
    command.main(clips=1, frames=4, world=("street",))
    record = json.loads((tmp_path / "ruler-cpu.json").read_text())
    assert record["faults"]["flicker"]["sizes"] == [1, 2, 4, 8]
    flicker = record["worlds"]["street"]["metrics"]["flicker"]["faults"]["flicker"]
    assert flicker["verdict"] == "sees"
    assert flicker["rank"] == pytest.approx(1)
    assert (tmp_path / "ruler-street-cpu.png").stat().st_size > 1000
    assert "visible from" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--features"], "--features: nothing follows it; name what it is for, or leave it out"),
        (["--features", ""], "--features: expected a path that is not empty, got ''"),
        (["--features", "none.safetensors"], "none.safetensors: no such file;"),
        (["--features", "here"], "here: "),
        (["--features", "empty"], "empty: not a safetensors file"),
        (["--world", "town"], "--world: expected one of"),
        (["--clips", "0"], "--clips: expected a whole number from 1 to 1000"),
    ],
)
def test_what_cannot_be_measured_with_is_one_line_before_anything_is_measured(
    tmp_path, monkeypatch, capsys, words, line
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "empty").touch()
    monkeypatch.setattr(command, "look_at", None)
    assert benchmarks(["metrics", *words]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"error: {line}")


def test_a_part_does_not_take_the_place_of_what_documents_cite():
    with pytest.raises(VsBenchError, match="--store is for what documents speak of"):
        command.main(frames=16, store=True)
