"""The importer on few-shot networks: names there and back, configurations, and what is refused."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import attrs
import import_imaginaire as importer
import pytest
import torch
import vs_nets as nets
from reference import load_case
from safetensors.torch import load_file
from torch import Tensor

EMBEDDER = {"arch": "encoderdecoder", "num_filters": 4, "max_num_filters": 32, "num_downsamples": 3}
CONFIG: dict[str, Any] = {
    "gen": {
        "type": "imaginaire.generators.fs_vid2vid",
        "num_filters": 4,
        "max_num_filters": 32,
        "num_downsamples": 3,
        "activation_norm_params": {"kernel_size": 1},
        "weight_norm_type": "spectral",
        "hyper": {
            "is_hyper_spade": True,
            "is_hyper_embed": True,
            "is_hyper_conv": False,
            "num_hyper_layers": 2,
            "method_to_use_ref_labels": "mul",
            "attention": {"num_filters": 4, "num_downsamples": 2},
        },
        "flow": {
            "warp_ref": True,
            "generate_raw_output": True,
            "num_filters": 4,
            "max_num_filters": 32,
            "num_downsamples": 2,
            "num_res_blocks": 6,  # written and never read
            "num_blocks": 1,
            "flow_output_multiplier": 20,
            "multi_spade_combine": {
                "num_layers": 2,
                "embed": {**EMBEDDER, "arch": "unet", "sep_warp_embed": True},
            },
        },
        "embed": EMBEDDER,
    },
    "dis": {"image": {"num_filters": 4, "max_num_filters": 8, "num_layers": 2, "num_discriminators": 2}},
    "data": {
        "num_frames_G": 2,
        "num_frames_D": 2,
        "initial_few_shot_K": 1,
        "input_types": [{"images": {"num_channels": 3}}, {"landmarks-dlib68": {"num_channels": 1}}],
        "input_labels": ["landmarks-dlib68"],
    },
}


def changed(**values: object) -> dict[str, Any]:
    """The configuration with other values, named by their path with two underscores between its parts."""
    config = deepcopy(CONFIG)
    for path, value in values.items():
        *sections, key = path.split("__")
        section = config
        for name in sections:
            section = section[name]
        section[key] = value
    return config


ATTENTION = changed(data__initial_few_shot_K=2)
CONVOLUTIONS = changed(gen__hyper__is_hyper_conv=True)
FLOWS = changed(data__num_frames_G=3)
SHARED = changed(gen__flow__multi_spade_combine__embed__sep_warp_embed=False)

# From our names to the published ones: the layout as its state dicts show it, written down apart from the importer.
PUBLISHED = [
    (r"^embed_label\.", "weight_generator.label_embedding."),
    (r"^embed_reference\.", "ref_image_embedding."),
    (r"^embed_previous\.", "prev_image_embedding."),
    (r"^(\w+\.label_embedding|\w+_image_embedding)\.first\.", r"\1.conv_first.layers.conv."),
    (r"^(\w+\.label_embedding|\w+_image_embedding)\.(up|down)\.(\d+)\.", r"\1.\2_\3.layers.conv."),
    (r"^weights\.encode_image\.", "weight_generator.ref_img_"),
    (r"^weights\.encode_label\.", "weight_generator.ref_label_"),
    (r"^(weight_generator\.ref_\w+_)first\.", r"\1first.layers."),
    (r"^(weight_generator\.ref_\w+_)(up|down)\.(\d+)\.", r"\1\2_\3.layers."),
    (
        r"^weights\.heads\.(\d+)\.embedder\.layers\.(\d+)\.",
        r"weight_generator.fc_spade_e_\1.\2.layers.conv.",
    ),
    (
        r"^weights\.heads\.(\d+)\.norm_(\w)\.layers\.(\d+)\.",
        r"weight_generator.fc_spade_\2_\1.\3.layers.conv.",
    ),
    (
        r"^weights\.heads\.(\d+)\.conv_(\w)\.layers\.(\d+)\.",
        r"weight_generator.fc_conv_\2_\1.\3.layers.conv.",
    ),
    (r"^weights\.attention\.(query|key)\.0\.", r"weight_generator.attention_module.atn_\1_first.layers."),
    (r"^weights\.attention\.(query|key)\.1\.", r"weight_generator.attention_module.atn_\1_0.layers."),
    (r"^weights\.attention\.(query|key)\.2\.", r"weight_generator.attention_module.atn_\1_1.layers."),
    (r"^last\.", "conv_img.layers.conv."),
    (r"^flow_reference\.", "flow_network_ref."),
    (r"^flow_previous\.", "flow_network_temp."),
    (r"^(flow_network_\w+)\.encode\.(\d+)\.", r"\1.down_flow.\2.layers."),
    (r"^(flow_network_\w+)\.(flow|mask)_head\.", r"\1.conv_\2.0.layers.conv."),
    (
        r"^(flow_network_\w+)\.blocks\.(\d+)\.(conv|norm)_(\d)\.",
        r"\1.res_flow.\2.conv_block_\4.layers.\3.",
    ),
    (r"^up\.(\d+)\.norm_(\w)\.projections\.(\d)\.", r"up_\1.conv_block_\2.layers.norm.mlps.\3.0.layers.conv."),
    (r"^up\.(\d+)\.conv_(\w)\.", r"up_\1.conv_block_\2.layers.conv."),
]


def published_name(name: str, normalised: bool) -> str:
    for pattern, replacement in PUBLISHED:
        name = re.sub(pattern, replacement, name)
    if up := re.match(r"^(flow_network_\w+)\.up\.(\d+)\.(.*)$", name):
        name = f"{up[1]}.up_flow.{2 * int(up[2]) + 1}.layers.{up[3]}"
    if normalised:
        name = re.sub(r"\.weight$", ".weight_orig", name)
    return re.sub(r"\.([uv])$", r".weight_\1", name)


def published_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A generator's weights as the published code would have saved them, its only flow network twice."""

    def normalised(name: str) -> bool:
        return name.removesuffix(".weight") + ".u" in state

    weights = {published_name(name, normalised(name)): x for name, x in state.items()}
    if not any(name.startswith("flow_previous.") for name in state):
        copies = {name: x for name, x in weights.items() if name.startswith("flow_network_ref.")}
        weights |= {name.replace("_ref.", "_temp.", 1): x for name, x in copies.items()}
    return weights


def build(config: Mapping[str, Any]) -> nets.FewShotGenerator:
    ours = importer.few_shot_config(config["gen"], config["data"])
    return nets.build_generator(ours, label_channels=importer.label_spec(config["data"]).channels)


def build_discriminator(config: Mapping[str, Any]) -> nets.Discriminator:
    channels, generator, discriminator = importer.convert_config(config)
    return nets.build_discriminator(discriminator, label_channels=nets.condition_channels(generator, channels))


def published_discriminator(discriminator: nets.Discriminator) -> dict[str, Tensor]:
    layers, state = discriminator.config.image.layers, discriminator.state_dict()
    weights = {}
    for name, x in state.items():
        new = re.sub(
            r"^image\.scales\.(\d+)\.head\.", rf"net_D.discriminator_\1.layer{layers + 1}.0.layers.conv.", name
        )
        new = re.sub(
            r"^image\.scales\.(\d+)\.(conv|norm)s\.(\d+)\.", r"net_D.discriminator_\1.layer\3.0.layers.\2.", new
        )
        if name.removesuffix(".weight") + ".u" in state:
            new = re.sub(r"\.weight$", ".weight_orig", new)
        weights[re.sub(r"\.([uv])$", r".weight_\1", new)] = x
    return weights


def test_the_names_written_down_here_are_the_published_ones() -> None:
    published = load_case("d1_fs_k1").under("G.")
    for name in published:
        assert published_name(importer.few_shot_weight_name(name), name.endswith("_orig")) == name


@pytest.mark.parametrize(
    "config",
    [CONFIG, ATTENTION, CONVOLUTIONS, FLOWS, SHARED],
    ids=["plain", "attention", "convolutions", "flows", "shared embedder"],
)
def test_names_there_and_back(config: Mapping[str, Any]) -> None:
    generator = build(config)
    state = generator.state_dict()
    published = published_weights(state)
    assert not set(published) & set(state)
    found = importer.few_shot_weights(published, separate_flow=generator.config.separate_flow)
    assert set(found) == set(state)
    assert [name for name, x in state.items() if not torch.equal(found[name], x)] == []


def test_attention_has_the_published_names() -> None:
    published = published_weights(build(ATTENTION).state_dict())
    module = "weight_generator.attention_module.atn_"
    found = {name.removeprefix(module).split(".")[0] for name in published if name.startswith(module)}
    assert found == {f"{part}_{step}" for part in ("query", "key") for step in ("first", "0", "1")}


def test_the_configuration() -> None:
    ours = importer.few_shot_config(CONFIG["gen"], CONFIG["data"])
    embedder = nets.EmbedderConfig(filters=4, max_filters=32, downsamples=3)
    assert ours == nets.FewShotGeneratorConfig(
        downsamples=3,
        filters=4,
        max_filters=32,
        embedder=embedder,
        weights=nets.WeightGeneratorConfig(levels=2),
        flow=nets.FlowConfig(filters=4, max_filters=32, downsamples=2, residual_blocks=1, multiplier=20.0),
        combination=nets.SpadeCombination(levels=2, embedder=attrs.evolve(embedder, arch="unet"), raw_output=True),
    )


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (ATTENTION, {"attention": nets.AttentionConfig(downsamples=2)}),
        (CONVOLUTIONS, {"convolutions": True}),
        (changed(gen__hyper__is_hyper_embed=False), {"embedder": False}),
        (changed(gen__hyper__num_hyper_layers=-1), {"levels": 3}),
        (changed(gen__hyper__num_fc_layers=1), {"hidden_layers": 1}),
    ],
    ids=["two references", "convolutions", "no embedder", "every level", "one hidden layer"],
)
def test_what_is_generated(config: Mapping[str, Any], changes: dict[str, Any]) -> None:
    ours = importer.few_shot_config(config["gen"], config["data"])
    assert ours.weights == nets.WeightGeneratorConfig(**{"levels": 2, **changes})


def test_more_frames_and_a_shared_embedder() -> None:
    frames = importer.few_shot_config(FLOWS["gen"], FLOWS["data"])
    assert (frames.frames, frames.separate_flow, frames.separate_embedder) == (3, True, True)
    shared = importer.few_shot_config(SHARED["gen"], SHARED["data"])
    assert (shared.frames, shared.separate_flow, shared.separate_embedder) == (2, False, False)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (changed(gen__flow__warp_ref=False), "gen.flow.warp_ref is false"),
        (changed(gen__flow__sep_up_mask=True), "gen.flow.sep_up_mask is true"),
        (changed(gen__hyper__method_to_use_ref_labels="concat"), "method_to_use_ref_labels is not 'mul'"),
        (changed(gen__hyper__hyper_block_order="CNA"), "hyper_block_order is not 'NAC'"),
    ],
)
def test_what_this_project_does_not_have_is_refused(config: Mapping[str, Any], what: str) -> None:
    with pytest.raises(importer.ConversionError, match=what) as caught:
        importer.few_shot_config(config["gen"], config["data"])
    assert str(caught.value).startswith("the configuration cannot be converted: ")
    assert "\n" not in str(caught.value)


def write_checkpoint(path: Path, config: Mapping[str, Any]) -> tuple[nets.FewShotGenerator, nets.Discriminator]:
    generator, discriminator = build(config), build_discriminator(config)
    published = {
        "net_G": published_weights(generator.state_dict()),
        "net_D": published_discriminator(discriminator),
    }
    torch.save({key: {f"module.{name}": x for name, x in state.items()} for key, state in published.items()}, path)
    return generator, discriminator


@pytest.mark.parametrize("config", [CONFIG, ATTENTION, FLOWS], ids=["plain", "attention", "flows"])
def test_a_checkpoint_is_converted(tmp_path: Path, config: Mapping[str, Any]) -> None:
    path, out = tmp_path / "published.pt", tmp_path / "converted"
    networks = write_checkpoint(path, config)
    importer.convert(path, config, out)
    for name, network in zip(("generator", "discriminator"), networks, strict=True):
        written, state = load_file(out / f"{name}.safetensors"), network.state_dict()
        assert set(written) == set(state)
        assert [key for key, x in state.items() if not torch.equal(written[key], x)] == []
    configs = json.loads((out / "configs.json").read_text())
    assert configs["generator"]["weights"]["label_eps"] == 0.1
    assert set(configs) == {"generator", "discriminator"}


def test_weights_for_another_number_of_references_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path, out = tmp_path / "published.pt", tmp_path / "converted"
    write_checkpoint(path, CONFIG)
    with pytest.raises(
        importer.ConversionError, match=r"generator does not fit its configuration: \d+ weights are missing"
    ) as caught:
        importer.convert(path, ATTENTION, out)
    assert "weights.attention." in str(caught.value)
    assert not out.exists()
