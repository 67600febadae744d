"""What is counted of networks and clips before there are any is what there is of them."""

from pathlib import Path

import pytest
import torch
from test_few_shot_training import SMALL
from test_step import CPU, DOCUMENT
from torch import nn
from vs_config import load_config
from vs_data import count_bytes, open_source
from vs_optim import resolve_precision
from vs_runtime import save_checkpoint
from vs_training.config import TrainConfig, label_spec
from vs_training.counts import clip_size, count_networks
from vs_training.networks import build_recipe, build_state
from vs_training.saved import state_to_save
from vs_training.validation import read_validation_clip


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("document", [DOCUMENT, SMALL], ids=["vid2vid", "few-shot"])
def test_networks_are_counted_as_they_are_built_and_saved(document: dict[str, object], tmp_path: Path) -> None:
    config = load_config(TrainConfig, document)
    labels = label_spec(config.labels, open_source(config.data, "train"))
    counts = count_networks(config, labels)
    precision = resolve_precision(config.precision, CPU)
    state, _ = build_state(config, labels, precision, CPU)
    recipe = build_recipe(config, labels, precision, CPU)
    assert counts.generator == parameters(state.generator)
    assert counts.discriminator == parameters(state.discriminator)
    assert counts.ema == parameters(state.generator_ema)
    assert recipe.perceptual is not None
    assert counts.perceptual == parameters(recipe.perceptual)
    for name, network in state.networks.items():
        for p in network.parameters():
            p.grad = torch.zeros_like(p)
        state.optimizers.of(name).step()
    path = save_checkpoint(tmp_path, step=1, state=state_to_save(state), keep=1)
    file = path / "tensors.safetensors"
    header = int.from_bytes(file.read_bytes()[:8], "little")  # names, which count in networks as small as these
    random_state = 10_048  # bytes, of Python, NumPy and PyTorch
    assert counts.checkpoint_bytes == pytest.approx(file.stat().st_size - 8 - header, abs=random_state)
    assert counts.training_bytes > 4 * 4 * (counts.generator + counts.discriminator)


@pytest.mark.parametrize("document", [DOCUMENT, SMALL], ids=["vid2vid", "few-shot"])
def test_the_size_of_a_clip_is_known_at_every_length(document: dict[str, object]) -> None:
    config = load_config(TrainConfig, document)
    source = open_source(config.data, "train")
    references = 0 if config.references is None else config.references.max
    size = clip_size(config, source)
    for frames in (1, 3, 5):
        clip = read_validation_clip(source, frames=frames, references=references)
        assert size.bytes_of(frames) == count_bytes(clip)
