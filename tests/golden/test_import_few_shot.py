"""The importer on few-shot networks: names there and back, configurations, and what is refused."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import vs_nets as nets
from convert_vgg19 import ConversionError
from imaginaire_config import few_shot_config, train_config
from imaginaire_weights import few_shot_weight_name, few_shot_weights
from import_imaginaire import read_model
from published import FEW_SHOT, build, published_name, published_weights, write_checkpoint
from reference import load_case

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
        "output_h_w": "32, 32",
        "full_data_ops": "concat_labels, crop_face_from_data",
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


def test_the_names_written_down_here_are_the_published_ones() -> None:
    published = load_case("d1_fs_k1").under("G.")
    for name in published:
        assert published_name(few_shot_weight_name(name), name.endswith("_orig"), FEW_SHOT) == name


@pytest.mark.parametrize(
    "config",
    [CONFIG, ATTENTION, CONVOLUTIONS, FLOWS, SHARED],
    ids=["plain", "attention", "convolutions", "flows", "shared embedder"],
)
def test_names_there_and_back(config: Mapping[str, Any]) -> None:
    generator, _ = build(config)
    state, published = generator.state_dict(), published_weights(generator)
    assert not set(published) & set(state)
    found = few_shot_weights(published, separate_flow=config is FLOWS)
    assert set(found) == set(state)
    assert [name for name, x in state.items() if not torch.equal(found[name], x)] == []


def test_attention_has_the_published_names() -> None:
    published = published_weights(build(ATTENTION)[0])
    module = "weight_generator.attention_module.atn_"
    found = {name.removeprefix(module).split(".")[0] for name in published if name.startswith(module)}
    assert found == {f"{part}_{step}" for part in ("query", "key") for step in ("first", "0", "1")}


def test_the_configuration() -> None:
    ours = few_shot_config(CONFIG["gen"], CONFIG["data"])
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
    ours = few_shot_config(config["gen"], config["data"])
    assert ours.weights == nets.WeightGeneratorConfig(**{"levels": 2, **changes})


def test_more_frames_and_a_shared_embedder() -> None:
    frames = few_shot_config(FLOWS["gen"], FLOWS["data"])
    assert (frames.frames, frames.separate_flow, frames.separate_embedder) == (3, True, True)
    shared = few_shot_config(SHARED["gen"], SHARED["data"])
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
    with pytest.raises(ConversionError, match=what) as caught:
        few_shot_config(config["gen"], config["data"])
    assert str(caught.value).startswith("the configuration cannot be converted: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [CONFIG, ATTENTION, FLOWS], ids=["plain", "attention", "flows"])
def test_a_checkpoint_is_converted(tmp_path: Path, config: Mapping[str, Any]) -> None:
    generator, discriminator = write_checkpoint(tmp_path / "published.pt", config)
    contents = read_model(tmp_path / "published.pt", train_config(config))
    assert contents.training is not None
    for written, network in (
        (contents.training.generator, generator),
        (contents.training.discriminator, discriminator),
    ):
        state = network.state_dict()
        assert set(written) == set(state)
        assert [key for key, x in state.items() if not torch.equal(written[key], x)] == []
    assert isinstance(contents.config.generator, nets.FewShotGeneratorConfig)
    assert contents.config.generator.weights.label_eps == 0.1


def test_weights_for_another_number_of_references_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "published.pt", CONFIG)
    with pytest.raises(
        ConversionError, match=r"generator does not fit its configuration: \d+ weights are missing"
    ) as caught:
        read_model(tmp_path / "published.pt", train_config(ATTENTION))
    assert "weights.attention." in str(caught.value)
