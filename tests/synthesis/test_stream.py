"""Streams: bit for bit the roll-out, with a state that is a value."""

import pytest
import torch
from safetensors.torch import load, save
from shipped_models import shipped
from tape import TapeRecorder, compute_as_a_gpu
from toy_models import CONFIGS, make_run
from vs_data import ClipRequest, open_source
from vs_nets import ShapeError, rollout
from vs_synthesis import (
    StreamError,
    StreamState,
    VsSynthesisError,
    advance,
    encode_subject,
    load_model,
    read_trained,
    restored_state,
    start,
    start_graphed,
    state_tensors,
    training_config,
)
from vs_synthesis import graphed as graphed_stream
from vs_training.inputs import encode_maps

FRAMES = 4


def opened(tmp_path_factory, kind, device="cpu"):
    path = make_run(tmp_path_factory.mktemp(kind) / "run", CONFIGS[kind]) if kind in CONFIGS else shipped(kind)
    model = load_model(path, device=device)
    references = (0,) if model.config.kind == "few-shot" else ()
    clip = open_source(training_config(read_trained(path)).data, "val").read(
        ClipRequest(sequence=0, start=0, length=FRAMES, references=references)
    )
    subject = None if clip.references is None else encode_subject(model, clip.references.frames, clip.references.labels)
    labels = [{kind: x[t] for kind, x in clip.labels.items()} for t in range(FRAMES)]
    return model, subject, labels


@pytest.fixture(scope="module", params=[*CONFIGS, pytest.param("street", marks=pytest.mark.slow)])
def case(request, tmp_path_factory):
    return opened(tmp_path_factory, request.param)


def streamed(model, subject, labels):
    stream = start(model, subject)
    return [stream(label) for label in labels]


def test_a_stream_is_bit_for_bit_the_roll_out_of_the_generator(case):
    model, subject, labels = case
    dense = subject is not None
    encoded = [
        encode_maps({k: x[None] for k, x in label.items()}, model.labels, dense=dense, channels_last=True)
        for label in labels
    ]
    generate = model.generator if subject is None else lambda label, history: model.generator(label, history, subject)
    with torch.inference_mode():
        rolled = [made.frame[0] for made in rollout(generate, encoded, past=model.config.past)]
    frames = streamed(model, subject, labels)
    assert all(torch.equal(a, b) for a, b in zip(frames, rolled, strict=True))
    assert not torch.equal(frames[-1], frames[-2])


def test_states_are_values_and_streams_take_turns(case):
    model, subject, labels = case
    alone = streamed(model, subject, labels)
    one, two = StreamState(), StreamState()
    for t, label in enumerate(labels):
        batch = {k: x[None] for k, x in label.items()}
        before = one
        frame, one = advance(model, batch, before, subject)
        again, _ = advance(model, batch, before, subject)
        assert torch.equal(frame[0], alone[t])
        assert torch.equal(frame, again)
        if t >= 1:  # the second stream is one frame late, between the frames of the first
            late, two = advance(model, {k: x[None] for k, x in labels[t - 1].items()}, two, subject)
            assert torch.equal(late[0], alone[t - 1])


def test_a_saved_state_goes_on_where_it_was(case):
    model, subject, labels = case
    frames = streamed(model, subject, labels)
    stream = start(model, subject)
    for t, label in enumerate(labels):
        kept = load(save({k: x.contiguous().clone() for k, x in state_tensors(stream.state).items()}))
        gone_on = start(model, subject, state=restored_state(model, kept))
        assert torch.equal(gone_on(label), frames[t])
        stream(label)


def test_a_batch_is_its_members(case):
    model, subject, labels = case
    if subject is not None:
        pytest.skip("a subject has a batch of its own")
    stream, alone = start(model), [streamed(model, None, labels), streamed(model, None, labels[::-1])]
    for t in range(FRAMES):
        frames = stream({k: torch.stack([labels[t][k], labels[::-1][t][k]]) for k in labels[0]})
        for mine, theirs in zip(frames, alone, strict=True):
            assert (mine - theirs[t]).abs().max() < 1e-3


def test_one_kind_may_come_alone(case):
    model, subject, labels = case
    name = model.labels.kinds[0].name
    assert torch.equal(start(model, subject)(labels[0][name]), streamed(model, subject, labels)[0])


def test_no_autograd_no_change_of_weights_and_no_memory_of_old_frames(case):
    model, subject, labels = case
    before = {name: x.clone() for name, x in model.generator.state_dict().items()}
    stream = start(model, subject)
    for label in labels:
        assert not stream(label).requires_grad
    assert all(torch.equal(before[name], x) for name, x in model.generator.state_dict().items())
    assert len(stream.state.frames) == len(stream.state.labels) == model.config.past


def test_what_does_not_belong_together_is_said(case):
    model, subject, labels = case
    with pytest.raises(StreamError, match="few-shot model"):
        start(model, None if subject is not None else object())
    with pytest.raises(StreamError, match="labels of poses given, the model takes"):
        start(model, subject)({"poses": torch.zeros(1, 8, 8)})
    name = model.labels.kinds[0].name
    with pytest.raises(ShapeError, match=r"divisible|with N, H and W"):
        start(model, subject)({name: labels[0][name][..., :-1]})
    stream = start(model, subject)
    stream(labels[0])
    with pytest.raises(StreamError, match="not those of a state of this model"):
        restored_state(model, {"frames.0": torch.zeros(1, 3, 8, 8)})
    with pytest.raises(StreamError, match="not those of a state of this model"):
        restored_state(model, {**state_tensors(stream.state), "more": torch.zeros(1)})


def test_a_stream_by_a_graph_makes_the_same_frames(case, monkeypatch):
    """Bit for bit, after a frame of another size too, and its state goes on in a stream without one."""
    compute_as_a_gpu(monkeypatch)
    model, subject, labels = case
    round_and_round = labels * 3
    recorder = TapeRecorder()
    plain, graphed = start(model, subject), start_graphed(model, subject, recorder=recorder)
    for label in round_and_round:
        assert torch.equal(graphed(label), plain(label))
    assert recorder.recorded == 1
    unrecorded = model.config.past + graphed_stream.WARM_UPS
    assert recorder.replayed == len(round_and_round) - unrecorded
    kept = start(model, subject, state=graphed.state)
    assert torch.equal(kept(labels[0]), graphed(labels[0]))
    assert torch.equal(kept(labels[1]), graphed(labels[1]))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", CONFIGS)
def test_streams_of_a_gpu_make_the_frames_of_the_cpu(kind, tmp_path_factory):
    """With a graph and without, but for rounding."""
    model, subject, labels = opened(tmp_path_factory, kind)
    expected = streamed(model, subject, labels * 3)
    model, subject, labels = opened(tmp_path_factory, kind, "cuda")
    for stream in (start(model, subject), start_graphed(model, subject)):
        for label, frame in zip(labels * 3, expected, strict=True):
            assert (stream(label).cpu() - frame).abs().max() < 1e-2


def test_graphs_of_streams_need_a_gpu(case):
    model, subject, _ = case
    with pytest.raises(VsSynthesisError, match="CUDA graphs need a GPU, and the model is on 'cpu': use start"):
        start_graphed(model, subject)
