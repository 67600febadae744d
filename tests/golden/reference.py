"""Reading the reference tensors that lie beside the repository, and the networks that they belong to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import vs_nets as nets
from imaginaire_config import few_shot_config, generator_config, label_spec, network_configs
from imaginaire_weights import discriminator_weights, few_shot_weights, generator_weights, vgg19_weights
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden"


@attrs.frozen
class Case:
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def under(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def load_case(name: str, device: torch.device | None = None) -> Case:
    """Tensors, on a device, and facts of one case; skips the test where the reference tensors are absent."""
    path = GOLDEN / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"reference tensors are not beside the repository: {name}")
    return Case(load_file(path, device=str(device or "cpu")), json.loads(path.with_suffix(".json").read_text()))


def build_generator(case: Case, prefix: str = "G.") -> nets.Generator:
    config = case.facts["config"]
    generator = nets.build_generator(
        generator_config(config["gen"], config["data"]),
        label_channels=label_spec(config["data"]).channels,
    )
    generator.load_state_dict(generator_weights(case.under(prefix)))
    return generator


def build_few_shot_generator(case: Case, prefix: str = "G.") -> nets.FewShotGenerator:
    config = case.facts["config"]
    generator = nets.build_generator(
        few_shot_config(config["gen"], config["data"]),
        label_channels=label_spec(config["data"]).channels,
    )
    generator.load_state_dict(few_shot_weights(case.under(prefix)))
    return generator


def build_discriminator(case: Case, prefix: str = "D.") -> nets.Discriminator:
    channels, generator, discriminator_config = network_configs(case.facts["config"])
    discriminator = nets.build_discriminator(
        discriminator_config, label_channels=nets.condition_channels(generator, channels)
    )
    discriminator.load_state_dict(discriminator_weights(case.under(prefix)))
    return discriminator


def build_vgg(case: Case, scales: int) -> nets.Perceptual:
    weights = vgg19_weights(case.under("VGG."))
    widths = [weights[f"convs.{i}.weight"].shape[0] for i in nets.perceptual.CONV_INDICES]
    network = nets.Vgg19(widths)
    network.load_state_dict(weights)
    return nets.Perceptual(network, scales)


def encoded_labels(case: Case) -> list[Tensor]:
    spec = label_spec(case.facts["config"]["data"])
    ids = case["in.seg_index"]
    return [nets.encode_labels(spec, {"seg_maps": ids[:, t]}) for t in range(ids.shape[1])]
