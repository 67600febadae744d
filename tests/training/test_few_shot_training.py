"""Few-shot training: its configuration, its step, and runs through the real command line."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import vs_nets as nets
import vs_optim as optim
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from vs_config import ConfigError, load_config
from vs_data import Clip, ClipRequest, SequenceInfo, collate, open_source
from vs_nets.layers import InstanceNorm2d
from vs_train.cli import main
from vs_train.numbers import named_losses
from vs_train.samples import roll_out
from vs_training import divergence
from vs_training.checks import check_references
from vs_training.config import ReferencesConfig, TrainConfig, label_spec, reference_count
from vs_training.errors import NonFiniteError, VsTrainingError
from vs_training.inputs import encode_references
from vs_training.networks import build_recipe, build_state
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "data": {"kind": "faces", "height": 32, "width": 32, "sequence_length": 6, "train_identities": 3},
    "references": {"min": 1, "max": 2},
    "generator": {
        "kind": "few-shot",
        "downsamples": 3,
        "filters": 4,
        "max_filters": 16,
        "embedder": {"filters": 4, "max_filters": 16, "downsamples": 3},
        "weights": {"levels": 2, "attention": {"downsamples": 1}},
        "flow": {"filters": 4, "max_filters": 8, "downsamples": 2, "residual_blocks": 1},
        "combination": {
            "kind": "spade",
            "levels": 2,
            "raw_output": True,
            "embedder": {"arch": "unet", "filters": 4, "max_filters": 8, "downsamples": 2},
        },
    },
    "discriminator": {"image": {"filters": 4, "layers": 2, "scales": 1, "spectral_norm": True}},
    "objective": {"perceptual": {"kind": "random", "width_divisor": 16}},
    "optim": {"generator": {"lr": 1e-3}, "discriminator": {"lr": 1e-3}, "ema": {"start_step": 1, "beta": 0.5}},
    "precision": {"level": "O0"},
    "curriculum": {"initial_length": 3, "max_length": 3},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The small configuration with one value changed."""

    def change(document: Any, keys: list[str]) -> Any:
        return {**document, keys[0]: value if len(keys) == 1 else change(document.get(keys[0], {}), keys[1:])}

    document: dict[str, Any] = change(SMALL, path.split("."))
    return document


def setup(document: dict[str, Any]) -> tuple[TrainConfig, TrainState, Recipe]:
    torch.manual_seed(0)
    config = load_config(TrainConfig, document)
    spec = label_spec(config.labels, open_source(config.data, "train"))
    precision = optim.resolve_precision(config.precision, CPU)
    state, _ = build_state(config, spec, precision, CPU)
    return config, state, build_recipe(config, spec, precision, CPU)


def faces_clip(config: TrainConfig, references: tuple[int, ...], frames: int = 3) -> Clip:
    source = open_source(config.data, "train")
    requests = (ClipRequest(sequence=i, start=0, length=frames, references=references) for i in range(2))
    return collate([source.read(request) for request in requests])


@pytest.mark.parametrize("labels", ["landmarks", "regions", "both"])
@pytest.mark.parametrize("references", [(5,), (4, 5)])
def test_every_loss_is_reported_and_finite(labels: str, references: tuple[int, ...]) -> None:
    """Landmarks and class ids go through the same path, with one reference and with several."""
    config, state, recipe = setup(changed("data.labels", labels))
    state, report = train_clip(state, faces_clip(config, references), recipe)
    names = {"gan", "feature_matching", "perceptual"}
    both = {f"{name}{raw}" for name in names for raw in ("", "_raw")}
    wanted = {f"g_{name}" for name in both | {"flow", "flow_warp", "flow_mask"}} | {"d_gan", "d_gan_raw"}
    assert set(named_losses(report.losses)) == wanted
    assert state.updates == 3


@pytest.mark.parametrize("level", ["O0", "O1"])
@pytest.mark.parametrize("policy", ["blocks", "all"])
def test_activation_checkpointing_changes_no_value(level: str, policy: str) -> None:
    results = []
    for checkpoint in ("none", policy):
        document = {**changed("memory.checkpoint", checkpoint), "precision": {"level": level}}
        config, state, recipe = setup(document)
        state, report = train_clip(state, faces_clip(config, (4, 5)), recipe)
        results.append((report.losses, state.generator.state_dict(), state.generator_ema.state_dict()))
    (losses, generator, average), (losses_again, generator_again, average_again) = results
    assert losses == losses_again
    assert all(torch.equal(generator[name], generator_again[name]) for name in generator)
    assert all(torch.equal(average[name], average_again[name]) for name in average)


def test_the_ema_keeps_the_eps_of_the_label_encoder() -> None:
    _, state, _ = setup(changed("generator.weights.label_eps", 0.2))
    found = [
        {name for name, m in network.named_modules() if isinstance(m, InstanceNorm2d) and m.eps == 0.2}
        for network in (state.generator, state.generator_ema)
    ]
    assert found[0] == found[1]
    assert found[0]
    assert all(name.startswith("weights.encode_label.") for name in found[0])


def test_the_teacher_of_the_chosen_reference_is_used() -> None:
    """Without attention the reference with the nearest label is chosen: the flow to the other one plays no part."""
    document = changed("generator.weights.attention", "none")
    losses = []
    for spoiled in (None, 0, 1):
        config, state, recipe = setup(document)
        clip = faces_clip(config, (0, 5), frames=1)  # frame 0 is the target itself
        assert clip.references is not None
        assert clip.references.flow is not None
        if spoiled is not None:
            clip.references.flow[:, :, spoiled] += 100
        _, report = train_clip(state, clip, recipe)
        losses.append(report.losses.generator["flow"])
    assert losses[0] == losses[2] != losses[1]


def test_flow_steps_train_the_flow_network_and_nothing_else() -> None:
    document = {**SMALL, "curriculum": {"flow_steps": 1, "initial_length": 3, "max_length": 3}}
    config, state, recipe = setup(document)
    clip = faces_clip(config, (4, 5), frames=1)
    before = {name: tensor.clone() for name, tensor in state.generator.state_dict().items()}
    discriminator = {name: tensor.clone() for name, tensor in state.discriminator.state_dict().items()}
    state, report = train_clip(state, clip, recipe)
    assert set(named_losses(report.losses)) == {"g_flow", "g_flow_warp", "g_flow_mask"}
    changed_weights = {
        name for name, tensor in state.generator.state_dict().items() if not torch.equal(before[name], tensor)
    }
    assert changed_weights
    assert all(name.startswith("flow_reference.") for name in changed_weights)
    assert all(torch.equal(discriminator[name], tensor) for name, tensor in state.discriminator.state_dict().items())
    state, report = train_clip(state, faces_clip(config, (4, 5)), recipe)
    assert {"g_gan", "d_gan"} <= set(named_losses(report.losses))
    assert (state.step, state.updates) == (2, 4)


def test_a_flow_step_that_diverges_is_explained_by_what_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {**SMALL, "curriculum": {"flow_steps": 1, "initial_length": 3, "max_length": 3}}
    config, state, recipe = setup(document)
    computed, original = [], nets.warp_losses

    def spoiled(*arguments: Any) -> nets.Losses:
        losses = original(*arguments)
        computed.append(losses)
        return {name: attrs.evolve(loss, value=loss.value * math.inf) for name, loss in losses.items()}

    monkeypatch.setattr(nets, "warp_losses", spoiled)
    monkeypatch.setattr(divergence, "show", lambda *_: pytest.fail("no frame is generated in such a step"))
    with pytest.raises(NonFiniteError, match="loss flow"):
        train_clip(state, faces_clip(config, (4, 5), frames=1), recipe)
    assert len(computed) == 2  # once to learn, once to look where it comes from


def test_flow_steps_learn_from_every_reference() -> None:
    losses = []
    for spoiled in (None, 0, 1):
        document = {**SMALL, "curriculum": {"flow_steps": 1, "initial_length": 3, "max_length": 3}}
        config, state, recipe = setup(document)
        clip = faces_clip(config, (4, 5), frames=1)
        assert clip.references is not None
        assert clip.references.flow is not None
        if spoiled is not None:
            clip.references.flow[:, :, spoiled] += 100
        losses.append(train_clip(state, clip, recipe)[1].losses.generator["flow"])
    assert len(set(losses)) == 3


def test_a_clip_without_references_is_refused() -> None:
    config, state, recipe = setup(SMALL)
    source = open_source(config.data, "train")
    clip = collate([source.read(ClipRequest(sequence=0, start=0, length=2))])
    with pytest.raises(nets.VsNetsError, match="a few-shot generator needs references, and the clip has none"):
        train_clip(state, clip, recipe)


def test_swapping_the_reference_changes_the_picture() -> None:
    config, state, recipe = setup(SMALL)
    source = open_source(config.data, "train")
    frames = []
    for subject in (0, 2):
        request = ClipRequest(sequence=0, start=0, length=2, references=(3,), reference_sequence=subject)
        frames.append(torch.cat([s.frame for s in roll_out(state.generator_ema, source.read(request), recipe)]))
    assert not torch.equal(frames[0], frames[1])


def test_any_number_of_references_at_any_time() -> None:
    config, state, recipe = setup(SMALL)
    for references in ((5,), (3, 4, 5), (1, 2, 3, 4, 5)):
        clip = faces_clip(config, references, frames=1)
        generate = state.generator_ema.bind(encode_references(clip, recipe.labels))
        label = nets.encode_labels(recipe.labels, {name: x[:, 0] for name, x in clip.labels.items()})
        with torch.no_grad():
            assert generate(label, nets.History()).frame.shape == (2, 3, 32, 32)


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 2**40), st.integers(0, 10**6))
def test_the_number_of_references_is_a_function_of_seed_and_step(fewest: int, more: int, seed: int, step: int) -> None:
    config = ReferencesConfig(min=fewest, max=fewest + more)
    count = reference_count(config, seed, step)
    assert fewest <= count <= fewest + more
    assert count == reference_count(config, seed, step)
    assert reference_count(None, seed, step) == 0


def test_every_number_of_references_is_drawn() -> None:
    config = ReferencesConfig(min=1, max=3)
    drawn = [reference_count(config, 0, step) for step in range(300)]
    assert all(drawn.count(count) > 60 for count in (1, 2, 3))


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("references", "none", "references: expected a table, which generators of kind 'few-shot' need, got none"),
        ("references.max", 0, "references.max: "),
        ("references.min", 3, "references.min: expected at most `max`, 2, got 3"),
        (
            "references.max",
            1,
            "references.max: expected 2 or more, got 1; the attention over references would never be trained",
        ),
        ("generator.kind", "vid2vid", "generator."),
        (
            "generator.weights.levels",
            3,
            "generator.weights.levels: expected levels that double the channels, got 3; level ",
        ),
        ("generator.weights.levels", 4, "generator.weights.levels: expected at most downsamples, 3, got 4"),
        ("generator.embedder.filters", 8, "generator.embedder"),
        ("generator.frames", 3, "generator.separate_flow: expected true with frames = 3, got false"),
        (
            "generator.combination.levels",
            4,
            "generator.combination.embedder.downsamples: expected at least levels - 1, 3, got ",
        ),
        ("generator.weights.label_eps", 0, "generator.weights.label_eps: "),
        ("data.height", 36, "data.height: expected a multiple of 8 (2 to the power of"),
    ],
)
def test_wrong_values_are_named(path: str, value: Any, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(TrainConfig, changed(path, value))
    assert str(caught.value).splitlines()[0].startswith(line)


def test_vid2vid_takes_no_references() -> None:
    with pytest.raises(ConfigError, match="only generators of kind 'few-shot' take references; remove it"):
        load_config(TrainConfig, {"references": {"min": 1}})


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["data.sequence_length=1"], "references: sequence 'face-000000-0' has 1 frame, which would be its own"),
        (
            ["data.sequence_length=3", "references.max=3"],
            "references.max: expected at most 2, got 3; the longest sequence, 'face-000000-0', has 3 frames, ",
        ),
    ],
)
def test_references_must_leave_a_frame_to_be_generated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = ["curriculum.initial_length=1", "curriculum.max_length=1"]
    assert main(["few-shot", *TINY, *frames, *overrides]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {line}")
    assert list(tmp_path.iterdir()) == []


def test_a_sequence_that_is_long_enough_is_enough() -> None:
    sequences = [SequenceInfo(name="short", frames=2), SequenceInfo(name="long", frames=4)]
    check_references(ReferencesConfig(min=1, max=3), sequences)
    with pytest.raises(
        ConfigError, match=r"references\.max: expected at most 3, got 4; the longest sequence, 'long', has 4 frames"
    ):
        check_references(ReferencesConfig(min=1, max=4), sequences)
    with pytest.raises(VsTrainingError, match="sequence 'still' has 1 frame"):
        check_references(ReferencesConfig(), [*sequences, SequenceInfo(name="still", frames=1)])


@pytest.mark.parametrize(
    ("command", "preset", "other"), [("vid2vid", "faces-tiny", "few-shot"), ("few-shot", "street-tiny", "vid2vid")]
)
def test_the_other_command_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    preset: str,
    other: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command, "--preset", preset]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"preset {preset}: generator.kind: expected '{command}' for `train:{command}`, got '{other}'; " in line
    assert line.endswith(f"`hatch run train:{other}` trains generators of that kind")
    assert list(tmp_path.iterdir()) == []


def test_each_command_lists_its_own_presets(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {}
    for command in ("vid2vid", "few-shot"):
        assert main([command, "--list-presets"]) == 0
        listed[command] = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "faces-tiny" in listed["few-shot"]
    assert "street-tiny" in listed["vid2vid"]
    assert not set(listed["few-shot"]) & set(listed["vid2vid"])


TINY = [
    "data.height=32",
    "data.width=32",
    "data.sequence_length=6",
    "data.train_identities=3",
    "data.val_identities=1",
    "generator.downsamples=3",
    "generator.filters=4",
    "generator.max_filters=16",
    "generator.embedder.filters=4",
    "generator.embedder.max_filters=16",
    "generator.embedder.downsamples=3",
    "generator.weights.levels=2",
    "generator.flow.filters=4",
    "generator.flow.downsamples=2",
    "generator.combination.kind=spade",
    "generator.combination.embedder.filters=4",
    "discriminator.image.filters=4",
    "discriminator.image.layers=2",
    "discriminator.image.scales=1",
    "objective.perceptual.width_divisor=16",
    "objective.perceptual.scales=1",
    "curriculum.flow_steps=1",
    "curriculum.single_frame_steps=1",
    "curriculum.initial_length=2",
    "curriculum.max_length=2",
    "optim.schedule.decay_start=4",
    "optim.schedule.decay_end=9",
    "run.sample_every=4",
    "run.checkpoint_every=3",
    "run.sample_frames=4",
    "run.threads=1",
]


def command_line(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vs_train", "few-shot", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path: Path) -> None:
    """Stopped between steps of one reference and of several, when attention may not have been trained yet."""
    command_line("--out", "whole", *TINY, "run.steps=7", cwd=tmp_path)
    command_line("--out", "parts", *TINY, "run.steps=2", cwd=tmp_path)
    command_line("--resume", "parts", "run.steps=7", cwd=tmp_path)
    folders = [tmp_path / name / "checkpoints" / "step-00000007" for name in ("whole", "parts")]
    files = sorted(path.name for path in folders[0].iterdir() if path.suffix == ".safetensors")
    assert files
    for name in files:
        whole, parts = (load_file(folder / name) for folder in folders)
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[key], parts[key]) for key in whole)
    pictures = [(tmp_path / name / "samples" / "step-00000007.png").read_bytes() for name in ("whole", "parts")]
    assert pictures[0] == pictures[1]
