"""What the presets for short runs must have, since nobody waits until chance has given it to them."""

import re

import pytest
import torch
import torch.nn.functional as F
from vs_config import resolve_config
from vs_data import open_source
from vs_nets.embedder import Embedder
from vs_training.config import TrainConfig, label_spec
from vs_training.counts import count_networks
from vs_training.presets import list_presets, read_preset

CLASSES = 8
SIZE = 64


OURS = [preset for preset in list_presets() if preset.document["data"]["kind"] == "street"]
"""Those with built-in streets; the published ones train for days."""


def finest_map(config, seed):
    """What fresh weights make of a label map, one pixel of which differs from the next but a few."""
    torch.manual_seed(seed)
    embedder = Embedder(config, CLASSES, spectral=True)
    ids = torch.randint(0, CLASSES, (1, SIZE // 4, SIZE // 4)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    with torch.no_grad():
        return embedder(F.one_hot(ids, CLASSES).movedim(-1, 1).float())[0]


@pytest.mark.parametrize("preset", OURS, ids=lambda preset: preset.name)
def test_fresh_weights_show_the_labels_at_full_resolution(preset):
    """Where they do not, some runs end before the generator has learnt to look at them."""
    config = resolve_config(TrainConfig, preset.document, (), preset.name)
    traces = [finest_map(config.generator.embedder, seed).std(dim=(-1, -2)).mean() for seed in range(3)]
    assert min(traces) > 5e-3


@pytest.mark.parametrize("name", ["street-laptop", "faces-laptop"])
def test_a_model_that_ships_is_as_small_as_its_preset_says(name):
    preset = read_preset(name)
    config = resolve_config(TrainConfig, preset.document, (), name)
    (said,) = re.findall(r"(\S+) million parameters", preset.description)
    count = count_networks(config, label_spec(config.labels, open_source(config.data, "val"))).ema
    assert f"{count / 1e6:.1f}" == said
    assert 2 * count <= 7.8e6  # what `eval:ship` takes in half precision
