"""Read weights and configurations that carry imaginaire's names.

    python tools/import_imaginaire.py CHECKPOINT.pt CONFIG.json --out FOLDER

writes `generator.safetensors`, `discriminator.safetensors` and `configs.json` in this project's names. CONFIG.json is
the published YAML configuration as JSON. The functions are also what the comparisons with reference tensors use.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import attrs
import torch
import vs_nets as nets
from convert_vgg19 import ConversionError, read_published, require_numbers
from safetensors.torch import save_file
from torch import Tensor
from vs_config import DocumentError, read_json, show
from vs_config.commands import run_command

Weights = dict[str, Tensor]

_MAX_BYTES = 2**20
"""Of a configuration; the published ones have a few thousand."""

_BLOCK = [
    (r"conv_block_(\w)\.layers\.norm\.mlps\.(\d+)\.0\.layers\.conv\.", r"norm_\1.projections.\2."),
    (r"conv_block_(\w)\.layers\.conv\.", r"conv_\1."),
    (r"conv_block_(\w)\.layers\.norm\.", r"norm_\1."),
]
_EMBEDDER = [
    (r"\.conv_first\.layers\.conv\.", ".first."),
    (r"\.(down|up)_(\d+)\.layers\.conv\.", r".\1.\2."),
]
_GENERATOR = [
    (r"^label_embedding\.", "embed_label."),
    (r"^img_prev_embedding\.", "embed_warped."),
    (r"^conv_img\.layers\.conv\.", "last."),
    (r"^fc\.layers\.conv\.", "start.conv."),
    (r"^down_first\.layers\.conv\.", "first_previous."),
    (r"^(up|down)_(\d+)\.", r"\1.\2."),
    (r"^res_(\d+)\.", r"middle.\1."),
    (r"^flow_network_temp\.down_lbl\.(\d+)\.layers\.", r"flow.encode_labels.\1."),
    (r"^flow_network_temp\.down_img\.(\d+)\.layers\.", r"flow.encode_frames.\1."),
    (r"^flow_network_temp\.res_flow\.", "flow.blocks."),
    (r"^flow_network_temp\.conv_(flow|mask)\.0\.layers\.conv\.", r"flow.\1_head."),
    *_EMBEDDER,
    *_BLOCK,
]
_FEW_SHOT = [
    (r"^weight_generator\.label_embedding\.", "embed_label."),
    (r"^weight_generator\.ref_(img|label)_first\.layers\.", r"weights.encode_\1.first."),
    (r"^weight_generator\.ref_(img|label)_(down|up)_(\d+)\.layers\.", r"weights.encode_\1.\2.\3."),
    (r"^weights\.encode_img\.", "weights.encode_image."),
    (r"^weight_generator\.fc_spade_e_(\d+)\.(\d+)\.layers\.conv\.", r"weights.heads.\1.embedder.layers.\2."),
    (r"^weight_generator\.fc_spade_(\w)_(\d+)\.(\d+)\.layers\.conv\.", r"weights.heads.\2.norm_\1.layers.\3."),
    (r"^weight_generator\.fc_conv_(\w)_(\d+)\.(\d+)\.layers\.conv\.", r"weights.heads.\2.conv_\1.layers.\3."),
    (r"^weight_generator\.attention_module\.atn_(query|key)_first\.layers\.", r"weights.attention.\1.0."),
    (r"^ref_image_embedding\.", "embed_reference."),
    (r"^prev_image_embedding\.", "embed_previous."),
    (r"^conv_img\.layers\.conv\.", "last."),
    (r"^up_(\d+)\.", r"up.\1."),
    (r"^flow_network_ref\.", "flow_reference."),
    (r"^flow_network_temp\.", "flow_previous."),
    (r"^(flow_\w+)\.down_flow\.(\d+)\.layers\.", r"\1.encode.\2."),
    (r"^(flow_\w+)\.res_flow\.", r"\1.blocks."),
    (r"^(flow_\w+)\.conv_(flow|mask)\.0\.layers\.conv\.", r"\1.\2_head."),
    *_EMBEDDER,
    *_BLOCK,
]
_SPECTRAL = [(r"\.weight_orig$", ".weight"), (r"\.weight_(u|v)$", r".\1")]
_UNUSED = re.compile(r"^down\.\d+\.norm_\w\.projections\.1\.")
_UNUSED_IF_LINEAR = re.compile(r"^(down|up)\.\d+\.norm_\w\.projections\.1\.")


def _rename(name: str, rules: list[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def generator_weight_name(name: str) -> str:
    """Return our name for a parameter or buffer of the published generator."""
    up = re.match(r"^flow_network_temp\.up_flow\.(\d+)\.layers\.(.*)$", name)
    if up:  # odd positions: up-sampling stands between the convolutions
        name = f"flow.up.{int(up[1]) // 2}.{up[2]}"
    return _rename(_rename(name, _GENERATOR), _SPECTRAL)


def generator_weights(published: Mapping[str, Tensor], *, layout: bool = False) -> Weights:
    """Return weights of the generator under our names; `layout` keeps the ones that the published layout never uses.

    Those are SPADE's second projections in the encoder of the previous frame and, where no embedder of the warped
    frame exists (linear combination), in the main branch too.
    """
    renamed = {generator_weight_name(name): tensor for name, tensor in published.items()}
    linear = not any(name.startswith("embed_warped.") for name in renamed)
    unused = _UNUSED_IF_LINEAR if linear else _UNUSED
    return {name: t for name, t in renamed.items() if layout or not unused.match(name)}


def few_shot_weight_name(name: str) -> str:
    """Return our name for a parameter or buffer of the published few-shot generator."""
    if up := re.match(r"^(flow_network_\w+)\.up_flow\.(\d+)\.layers\.(.*)$", name):
        # odd positions: up-sampling stands between the convolutions
        name = f"{up[1]}.up.{int(up[2]) // 2}.{up[3]}"
    if step := re.match(r"^weight_generator\.attention_module\.atn_(query|key)_(\d+)\.layers\.(.*)$", name):
        name = f"weights.attention.{step[1]}.{int(step[2]) + 1}.{step[3]}"
    return _rename(_rename(name, _FEW_SHOT), _SPECTRAL)


def few_shot_weights(published: Mapping[str, Tensor], *, separate_flow: bool = False) -> Weights:
    """Return weights of the few-shot generator under our names.

    Without `separate_flow` the published layout holds the one flow network twice; the copy is left out.
    """
    renamed = {few_shot_weight_name(name): tensor for name, tensor in published.items()}
    return {name: t for name, t in renamed.items() if separate_flow or not name.startswith("flow_previous.")}


def discriminator_weights(published: Mapping[str, Tensor]) -> Weights:
    """Return weights of the discriminators under our names."""
    pattern = re.compile(r"^net_D(?:T(\d+))?\.discriminator_(\d+)\.layer(\d+)\.0\.layers\.(conv|norm)\.(.*)$")
    found = {name: match for name in published if (match := pattern.match(name))}
    last: dict[tuple[str | None, str], int] = {}
    for match in found.values():
        key = match[1], match[2]
        last[key] = max(last.get(key, 0), int(match[3]))
    weights = {}
    for name, match in found.items():
        net = "image" if match[1] is None else f"temporal.{match[1]}"
        layer = int(match[3])
        where = "head" if layer == last[match[1], match[2]] else f"{match[4]}s.{layer}"
        weights[_rename(f"{net}.scales.{match[2]}.{where}.{match[5]}", _SPECTRAL)] = published[name]
    return weights


def vgg19_weights(published: Mapping[str, Tensor]) -> Weights:
    """Return weights of a VGG-19 with torchvision's positions as names, up to relu_5_1."""
    known = {str(i) for i in nets.perceptual.CONV_INDICES}
    return {f"convs.{name}": t for name, t in published.items() if name.split(".")[0] in known}


def label_spec(data: Mapping[str, Any]) -> nets.LabelSpec:
    """Return the kinds of label of a published `data` section, in the order in which its networks concatenate them."""
    kinds: dict[str, Any] = {name: d for entry in data["input_types"] for name, d in entry.items()}
    classes = data.get("one_hot_num_classes", {})
    dont_care = bool(data.get("use_dont_care", False))

    def kind(name: str) -> nets.ClassMap | nets.FloatMap:
        if name in classes:
            return nets.ClassMap(name=name, classes=classes[name], dont_care=dont_care)
        return nets.FloatMap(name=name, channels=kinds[name]["num_channels"])

    return nets.LabelSpec(tuple(kind(name) for name in data["input_labels"]))


def _embedder_config(section: Mapping[str, Any]) -> nets.EmbedderConfig:
    return nets.EmbedderConfig(
        arch=section.get("arch", "encoderdecoder"),
        filters=section.get("num_filters", 32),
        max_filters=section.get("max_num_filters", 1024),
        downsamples=section.get("num_downsamples", 5),
        kernel=section.get("kernel_size", 3),
    )


def generator_config(gen: Mapping[str, Any], data: Mapping[str, Any]) -> nets.GeneratorConfig:
    """Return our configuration for a published `gen` section."""
    flow = gen["flow"]
    combine = flow.get("multi_spade_combine")
    combination: nets.SpadeCombination | nets.LinearCombination = nets.LinearCombination()
    if combine:
        combination = nets.SpadeCombination(
            levels=combine.get("num_layers", 3),
            embedder=_embedder_config(combine["embed"]),
            raw_output=bool(flow.get("generate_raw_output", False)),
        )
    return nets.GeneratorConfig(
        levels=gen.get("num_layers", 7),
        image_downsamples=gen.get("num_downsamples_img", 4),
        filters=gen.get("num_filters", 32),
        max_filters=gen.get("max_num_filters", 1024),
        kernel=gen.get("kernel_size", 3),
        spade_kernel=gen["activation_norm_params"].get("kernel_size", 3),
        frames=data["num_frames_G"],
        spectral_norm=gen.get("weight_norm_type", "spectral") == "spectral",
        embedder=_embedder_config(gen["embed"]),
        flow=nets.FlowConfig(
            filters=flow.get("num_filters", 32),
            max_filters=flow.get("max_num_filters", 1024),
            downsamples=flow.get("num_downsamples", 5),
            residual_blocks=flow.get("num_res_blocks", 6),
            multiplier=float(flow.get("flow_output_multiplier", 20)),
        ),
        combination=combination,
    )


def is_few_shot(gen: Mapping[str, Any]) -> bool:
    """Return whether a published `gen` section describes few-shot vid2vid."""
    return str(gen.get("type", "")).endswith("fs_vid2vid")


def few_shot_config(gen: Mapping[str, Any], data: Mapping[str, Any]) -> nets.FewShotGeneratorConfig:
    """Return our configuration for a published `gen` section of few-shot vid2vid.

    Raises:
        ConversionError: it asks for something that this project does not have.
    """
    hyper, flow = gen["hyper"], gen["flow"]
    combine = flow["multi_spade_combine"]
    embed = combine["embed"]
    _refuse(not flow.get("warp_ref", True), "gen.flow.warp_ref is false")
    _refuse(bool(flow.get("sep_up_mask", False)), "gen.flow.sep_up_mask is true")
    _refuse(hyper.get("method_to_use_ref_labels") != "mul", "gen.hyper.method_to_use_ref_labels is not 'mul'")
    _refuse(hyper.get("hyper_block_order", "NAC") != "NAC", "gen.hyper.hyper_block_order is not 'NAC'")
    attends = "attention" in hyper and data.get("initial_few_shot_K", 1) > 1
    downsamples, frames = gen.get("num_downsamples", 5), data["num_frames_G"]
    levels = hyper.get("num_hyper_layers", 4)
    return nets.FewShotGeneratorConfig(
        downsamples=downsamples,
        filters=gen.get("num_filters", 32),
        max_filters=gen.get("max_num_filters", 1024),
        kernel=gen.get("kernel_size", 3),
        spade_kernel=gen["activation_norm_params"].get("kernel_size", 1),
        frames=frames,
        spectral_norm=gen.get("weight_norm_type", "spectral") == "spectral",
        embedder=_embedder_config(gen["embed"]),
        weights=nets.WeightGeneratorConfig(
            levels=downsamples if levels == -1 else levels,
            spade=hyper["is_hyper_spade"],
            embedder=hyper["is_hyper_spade"] and hyper["is_hyper_embed"],
            convolutions=hyper["is_hyper_conv"],
            hidden_layers=hyper.get("num_fc_layers", 2),
            attention=nets.AttentionConfig(downsamples=hyper["attention"].get("num_downsamples", 2))
            if attends
            else None,
        ),
        flow=nets.FlowConfig(
            filters=flow.get("num_filters", 32),
            max_filters=flow.get("max_num_filters", 1024),
            downsamples=flow.get("num_downsamples", 3),
            residual_blocks=flow.get("num_blocks", 6),  # the key that the published code reads
            multiplier=float(flow.get("flow_output_multiplier", 20)),
        ),
        separate_flow=bool(flow.get("sep_prev_flow", False)) or frames != 2,
        combination=nets.SpadeCombination(
            levels=combine.get("num_layers", 3),
            embedder=_embedder_config(embed),
            raw_output=bool(flow.get("generate_raw_output", False)),
        ),
        separate_embedder=bool(embed.get("sep_warp_embed", True)),
    )


def _refuse(found: bool, what: str) -> None:
    if found:
        raise ConversionError(f"the configuration cannot be converted: {what}, which this project does not have")


def discriminator_config(dis: Mapping[str, Any], data: Mapping[str, Any]) -> nets.DiscriminatorConfig:
    """Return our configuration for a published `dis` section."""

    def patch(section: Mapping[str, Any]) -> nets.PatchConfig:
        return nets.PatchConfig(
            filters=section.get("num_filters", 64),
            max_filters=section.get("max_num_filters", 512),
            layers=section.get("num_layers", 3),
            scales=section.get("num_discriminators", 3),
            spectral_norm=section.get("weight_norm_type", "spectral") == "spectral",
        )

    temporal = dis.get("temporal")
    return nets.DiscriminatorConfig(
        image=patch(dis["image"]),
        temporal=nets.TemporalConfig(
            time_scales=temporal["num_scales"], frames=data["num_frames_D"], patch=patch(temporal)
        )
        if temporal and temporal.get("num_scales", 0)
        else None,
    )


def _published_state(path: Path, checkpoint: Mapping[str, Any], key: str) -> Weights:
    section = checkpoint.get(key)
    if not isinstance(section, dict) or not section:
        raise ConversionError(f"{path}: no weights {key!r} in it; expected a checkpoint that imaginaire has written")
    for name, tensor in section.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ConversionError(f"{path}: {key!r} holds {show(name)}, which is no tensor with a name")
    return {re.sub(r"^(module\.)+", "", name): tensor for name, tensor in section.items()}


def _check(path: Path, what: str, weights: Weights, make: Callable[[], torch.nn.Module]) -> None:
    """See that weights fit a network, of which only the shapes are made."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in make().state_dict().items()}
    problem = f"{path}: the {what} does not fit its configuration"
    for name in shapes.keys() & weights.keys():
        if shapes[name] != weights[name].shape:
            found, expected = tuple(weights[name].shape), tuple(shapes[name])
            raise ConversionError(f"{problem}: {name} has shape {found}, expected {expected}")
        require_numbers(weights[name], f"{path}: {name} of the {what}")
    missing, unknown = sorted(shapes.keys() - weights.keys()), sorted(weights.keys() - shapes.keys())
    if missing or unknown:
        raise ConversionError(
            f"{problem}: {len(missing)} weights are missing and {len(unknown)} unknown, first {(missing + unknown)[0]}"
        )


def read_config(path: Path) -> Mapping[str, Any]:
    """Return a published configuration; raises `DocumentError` or `ConversionError` for any other file."""
    if path.suffix in (".yaml", ".yml"):
        raise ConversionError(f"{path}: is YAML; write it as JSON")
    config = read_json(path, max_bytes=_MAX_BYTES)
    if not isinstance(config, dict):
        raise ConversionError(f"{path}: holds {show(config)}, expected a table with gen, dis and data")
    for section in ("gen", "dis", "data"):
        if not isinstance(config.get(section), dict):
            raise ConversionError(f"{path}: no table {section!r} in it; expected imaginaire's configuration as JSON")
    return config


def _sections(config: Mapping[str, Any]) -> tuple[int, nets.AnyGeneratorConfig, nets.DiscriminatorConfig]:
    gen, dis, data = config["gen"], config["dis"], config["data"]
    generator = few_shot_config(gen, data) if is_few_shot(gen) else generator_config(gen, data)
    return label_spec(data).channels, generator, discriminator_config(dis, data)


def convert_config(config: Mapping[str, Any]) -> tuple[int, nets.AnyGeneratorConfig, nets.DiscriminatorConfig]:
    """Return the channels of the labels, and our configurations of generator and discriminator.

    Raises:
        ConversionError: Something is missing, of another type, or not to be had in this project.
    """
    try:
        return _sections(config)
    except ConversionError:
        raise
    except KeyError as error:
        raise ConversionError(f"the configuration cannot be converted: {error} is missing in it") from error
    except (TypeError, AttributeError) as error:
        raise ConversionError(f"the configuration cannot be converted: a value of another type: {error}") from error
    except ValueError as error:
        raise ConversionError(f"the configuration cannot be converted: {error}") from error


def _renaming(generator: nets.AnyGeneratorConfig) -> Callable[..., Weights]:
    """Return what gives the published weights of a kind of generator our names."""
    match generator:
        case nets.GeneratorConfig():
            return generator_weights
        case nets.FewShotGeneratorConfig():
            return partial(few_shot_weights, separate_flow=generator.separate_flow)
        case _:
            assert_never(generator)


def convert(checkpoint: Path, config: Mapping[str, Any], out: Path) -> None:
    """Convert one published checkpoint; everything is checked before the first file is written.

    Raises:
        ConversionError: The checkpoint or the configuration is damaged, or one does not fit the other.
    """
    channels, generator, discriminator = convert_config(config)
    shown = nets.condition_channels(generator, channels)
    sections: dict[str, tuple[str, Any, Callable[..., Weights], Callable[..., torch.nn.Module]]] = {
        "generator": ("net_G", generator, _renaming(generator), partial(nets.build_generator, label_channels=channels)),
        "discriminator": (
            "net_D",
            discriminator,
            discriminator_weights,
            partial(nets.build_discriminator, label_channels=shown),
        ),
    }
    state, ready = read_published(checkpoint), {}
    for name, (key, cfg, renamed, make) in sections.items():
        weights = renamed(_published_state(checkpoint, state, key))
        _check(checkpoint, name, weights, partial(make, cfg))
        ready[name] = {
            k: v.clone(memory_format=torch.contiguous_format) for k, v in weights.items()
        }  # a file cannot hold one twice
    out.mkdir(parents=True, exist_ok=True)
    for name, weights in ready.items():
        save_file(weights, out / f"{name}.safetensors")
    configs = {name: attrs.asdict(cfg) for name, (_, cfg, _, _) in sections.items()}
    (out / "configs.json").write_text(json.dumps(configs, indent=1) + "\n")


def main(checkpoint: Path, config: Path, *, out: Path) -> None:
    """Convert a vid2vid or few-shot vid2vid checkpoint that imaginaire has written.

    Args:
        checkpoint: The .pt file; no code in it is run.
        config: Its configuration, YAML written as JSON.
        out: Folder for the converted weights.
    """
    for path in (checkpoint, config):
        if not path.is_file():
            raise ConversionError(f"{path}: no such file")
    convert(checkpoint, read_config(config), out)


if __name__ == "__main__":
    sys.exit(run_command(main, ConversionError, DocumentError))
