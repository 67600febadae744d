"""Models that are given their motion: streams, sizes, what `model.json` says, and what cannot be."""

import json

import attrs
import numpy as np
import pytest
import torch
from exports import run_alone
from tape import TapeRecorder, compute_as_a_gpu
from toy_models import make_run
from toy_runs import GIVEN, STREET
from vs_config import ConfigError
from vs_data import (
    ClipRequest,
    DisFlowConfig,
    FlowFilesConfig,
    FolderConfig,
    NetworkFlowConfig,
    StreetConfig,
    TrustedConfig,
    open_labels,
    open_source,
    write_folder,
)
from vs_nets import Motion, rollout
from vs_synthesis import (
    StreamError,
    load_model,
    model_config,
    plan_fit,
    read_model,
    start,
    start_graphed,
    synthesise_sequence,
    write_model,
)
from vs_synthesis.export import ExportRequest, export_model
from vs_synthesis.export.drift import measure_drift
from vs_synthesis.export.plan import make_plan, roll
from vs_synthesis.export.walk import walk
from vs_synthesis.fit import Fit, fit_motion
from vs_synthesis.rollout import label_request
from vs_training.checks import check_trust
from vs_training.inputs import encode_maps

FRAMES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(make_run(tmp_path_factory.mktemp("given") / "run", GIVEN), device="cpu")


@pytest.fixture(scope="module")
def clip():
    return open_source(GIVEN.data, "val").read(ClipRequest(sequence=0, start=0, length=FRAMES))


def given(clip):
    for t in range(FRAMES):
        labels = {kind: x[t] for kind, x in clip.labels.items()}
        yield labels, Motion(flow=clip.flow[t], confidence=clip.flow_confidence[t])


def streamed(stream, clip):
    return [stream(labels, motion) for labels, motion in given(clip)]


def test_a_stream_is_bit_for_bit_the_roll_out_and_follows_the_motion(model, clip):
    labels = [encode_maps({k: x[None] for k, x in one.items()}, model.labels, dense=False) for one, _ in given(clip)]
    motions = [Motion(flow=motion.flow[None], confidence=motion.confidence[None]) for _, motion in given(clip)]
    with torch.inference_mode():
        rolled = list(rollout(model.generator, labels, past=model.config.past, motions=motions))
    frames = streamed(start(model), clip)
    assert all(torch.equal(frame, made.frame[0]) for frame, made in zip(frames, rolled, strict=True))
    other = streamed(start(model), attrs.evolve(clip, flow=-clip.flow))
    assert torch.equal(other[0], frames[0])
    assert not torch.equal(other[1], frames[1])


def test_a_graphed_stream_is_the_stream(model, clip, monkeypatch):
    compute_as_a_gpu(monkeypatch)
    longer = open_source(attrs.evolve(GIVEN.data, sequence_length=8), "val").read(
        ClipRequest(sequence=0, start=0, length=8)
    )
    plain, graphed = start(model), start_graphed(model, recorder=TapeRecorder())
    for t in range(8):
        labels = {kind: x[t] for kind, x in longer.labels.items()}
        motion = Motion(flow=longer.flow[t], confidence=longer.flow_confidence[t])
        assert torch.equal(plain(labels, motion), graphed(labels, motion))


def test_missing_motion_and_motion_of_no_use_are_said(model, clip, tmp_path):
    (labels, motion), *_ = given(clip)
    stream = start(model)
    stream(labels)  # nothing is before the first frame
    with pytest.raises(StreamError, match="takes the motion from the frame before"):
        stream(labels)
    estimating = start(load_model(make_run(tmp_path / "run", STREET), device="cpu"))
    with pytest.raises(StreamError, match="motion is of no use: the model estimates its flow itself"):
        estimating(labels, motion)


def test_a_sequence_is_made_of_labels_and_their_motion(model, clip):
    how = label_request(model.config, frames=FRAMES)
    (sequence,) = open_labels(f"street:{GIVEN.data.seed}", how)
    made = list(synthesise_sequence(model, sequence, plan_fit(sequence.size, model.config)))
    world = attrs.evolve(GIVEN.data, val_sequences=1)
    same = open_source(world, "val").read(ClipRequest(sequence=0, start=0, length=FRAMES))
    assert all(torch.equal(a.frame, b) for a, b in zip(made, streamed(start(model), same), strict=True))


def test_a_picture_to_go_on_from_counts_as_a_frame_without_known_motion(model):
    (sequence,) = open_labels("street:5", label_request(model.config, frames=2))
    picture = torch.rand(3, *sequence.size) * 2 - 1
    first, _ = synthesise_sequence(model, sequence, plan_fit(sequence.size, model.config), first_frame=picture)
    assert first.label.motion is not None
    assert not first.label.motion[1].any()


@pytest.mark.parametrize(
    ("fit", "shift", "known"),
    [
        (Fit(own=(8, 16), inner=(8, 16), labels=()), (4.0, 2.0), 1.0),
        (Fit(own=(8, 16), inner=(16, 16), labels=(), way="resize"), (4.0, 4.0), 12 / 16 * 12 / 16),
        (Fit(own=(8, 16), inner=(4, 8), labels=(), way="resize"), (2.0, 1.0), 6 / 8 * 3 / 4),
        (Fit(own=(8, 16), inner=(4, 8), labels=(), way="crop"), (4.0, 2.0), 4 / 8 * 2 / 4),
        (Fit(own=(8, 16), inner=(12, 16), labels=(), way="pad"), (4.0, 2.0), 12 / 16 * 10 / 12),
    ],
)
def test_motion_is_fitted_as_labels_are_and_counts_in_the_new_pixels(fit, shift, known):
    flow = torch.tensor([4.0, 2.0]).reshape(2, 1, 1).expand(2, *fit.own)
    motion = fit_motion(fit, (flow, torch.ones(1, *fit.own)))
    assert torch.equal(motion.flow, torch.tensor(shift).reshape(2, 1, 1).expand(2, *fit.inner))
    assert float(motion.confidence.mean()) == pytest.approx(known)


def test_a_model_directory_knows_that_it_is_given_motion_and_from_which_files(model, tmp_path):
    write_model(tmp_path / "model", model.contents)
    assert read_model(tmp_path / "model").config == model.config
    assert model.config.motion == FlowFilesConfig()
    files = FlowFilesConfig(folder="motion")
    folder = attrs.evolve(GIVEN, data=FolderConfig(root="x", height=32, width=64, flow=files))
    assert model_config(folder).motion == files
    assert model_config(STREET).motion is None
    with pytest.raises(ConfigError, match=r"motion: expected a table, which generator\.flow\.kind = 'given' needs"):
        attrs.evolve(model.config, motion=None)
    with pytest.raises(ConfigError, match="motion: expected 'none', since flow is estimated"):
        attrs.evolve(model.config, generator=STREET.generator)


def test_steps_of_an_export_take_motion_and_make_the_clip_that_a_stream_makes(model, clip):
    plan = make_plan(model, size=(model.config.height, model.config.width))
    programs = {phase.name: phase.step for phase in plan.phases}
    named = [[value.name for value in phase.inputs] for phase in plan.frames]
    assert ["flow" in names and "confidence" in names for names in named] == [False] + [True] * (len(named) - 1)
    with torch.inference_mode():
        drift = measure_drift(model, plan, programs, size=plan.size, frames=FRAMES)
        assert max(drift.exported.largest) < 1e-4
        assert max(drift.rounding.largest) < 1e-3
        values = [
            {f"label_{i}": x[None] for i, x in enumerate(labels.values())}
            | {"flow": motion.flow[None], "confidence": motion.confidence[None]}
            for labels, motion in given(clip)
        ]
        made = list(roll(plan, lambda phase, inputs: phase.step(*inputs), values, {}))
    for one, other in zip(made, streamed(start(model), clip), strict=True):
        torch.testing.assert_close(one.frame[0], other, atol=1e-4, rtol=0)


def test_the_motion_of_a_walk_is_that_of_its_labels(model):
    before, now = walk(model.labels, (32, 64), 2, motion=True)
    x, y = (int(value) for value in now["flow"][0, :, 0, 0])
    assert not before["confidence"].any()
    assert now["confidence"].mean() == (32 - abs(y)) * (64 - abs(x)) / (32 * 64)
    moved = torch.roll(before["label_0"], (-y, -x), (-2, -1))
    assert (moved == now["label_0"])[now["confidence"][:, 0] > 0].all()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pt2", "onnx"])
def test_an_export_of_a_model_that_is_given_motion_runs_without_us(model, clip, form, tmp_path):
    export = export_model(model, tmp_path / "out", ExportRequest(form=form, frames=FRAMES))
    assert json.loads((export.path / "manifest.json").read_text())["motion"]["inputs"] == ["flow", "confidence"]
    inputs = {f"label_{i}": x[:, None] for i, x in enumerate(clip.labels.values())}
    inputs |= {"flow": clip.flow[:, None], "confidence": clip.flow_confidence[:, None]}
    alone = run_alone(export.path, inputs, tmp_path).astype(int)
    frames = [((frame.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy() for frame in streamed(start(model), clip)]
    assert np.abs(alone - np.stack(frames)).max() <= 1


def test_confidence_by_true_frames_is_warned_of_where_files_do_not_tell_it(tmp_path):
    street = StreetConfig(height=32, width=64, sequence_length=3)
    write_folder(open_source(street, "train"), tmp_path, sequences=2)
    config = FolderConfig(root=str(tmp_path), height=32, width=64)

    def warned(model, **fields):
        data = attrs.evolve(config, flow=FlowFilesConfig(**fields))
        return check_trust(attrs.evolve(model, data=data), open_source(data, "train"))

    assert warned(GIVEN) == ()  # these files say it
    for path in tmp_path.glob("flow/*1/*.npz"):
        with np.load(path) as arrays:
            flow = arrays["flow"]
        np.savez(path, flow=flow)
    (line,) = warned(GIVEN)
    assert line.startswith(
        f"warning: {tmp_path / 'flow' / 'street-000001' / '000001.npz'} has no confidence, for which"
    )
    assert warned(GIVEN, confidence=TrustedConfig()) == warned(STREET) == ()
    for teacher in (DisFlowConfig(), NetworkFlowConfig(path="raft.onnx")):
        data = attrs.evolve(config, flow=teacher)
        (line,) = check_trust(attrs.evolve(GIVEN, data=data), open_source(data, "train"))
        assert line.startswith(
            f"warning: data.flow.kind={teacher.kind} finds the motion that is given in the true frames"
        )
        assert "read from flow/SEQ" in line
        assert check_trust(attrs.evolve(STREET, data=data), open_source(data, "train")) == ()
    assert check_trust(GIVEN, open_source(GIVEN.data, "train")) == ()
