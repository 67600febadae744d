"""The published names, written down apart from the importer, and checkpoints that have them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import imaginaire_config
import torch
import vs_nets as nets
from torch import Tensor

SCALE = 8.0
"""Of fresh weights, so that labels are seen in frames."""

BLOCK = [
    (
        r"^((?:up|down|middle)\.\d+)\.norm_(\w)\.projections\.(\d)\.",
        r"\1.conv_block_\2.layers.norm.mlps.\3.0.layers.conv.",
    ),
    (r"^((?:up|down|middle)\.\d+)\.conv_(\w)\.", r"\1.conv_block_\2.layers.conv."),
    (r"^(up|down)\.(\d+)\.conv_block", r"\1_\2.conv_block"),
    (r"^middle\.(\d+)\.", r"res_\1."),
]
EMBEDDER = [
    (r"^(\w+\.label_embedding|\w+_embedding)\.first\.", r"\1.conv_first.layers.conv."),
    (r"^(\w+\.label_embedding|\w+_embedding)\.(up|down)\.(\d+)\.", r"\1.\2_\3.layers.conv."),
]
FLOW = [
    (r"^(flow_network_\w+)\.(flow|mask)_head\.", r"\1.conv_\2.0.layers.conv."),
    (r"^(flow_network_\w+)\.blocks\.(\d+)\.(conv|norm)_(\d)\.", r"\1.res_flow.\2.conv_block_\4.layers.\3."),
]
VID2VID = [
    (r"^embed_label\.", "label_embedding."),
    (r"^embed_warped\.", "img_prev_embedding."),
    (r"^last\.", "conv_img.layers.conv."),
    (r"^start\.conv\.", "fc.layers.conv."),
    (r"^first_previous\.", "down_first.layers.conv."),
    (r"^flow\.", "flow_network_temp."),
    (r"^flow_network_temp\.encode_labels\.(\d+)\.", r"flow_network_temp.down_lbl.\1.layers."),
    (r"^flow_network_temp\.encode_frames\.(\d+)\.", r"flow_network_temp.down_img.\1.layers."),
    *EMBEDDER,
    *FLOW,
    *BLOCK,
]
FEW_SHOT = [
    (r"^embed_label\.", "weight_generator.label_embedding."),
    (r"^embed_reference\.", "ref_image_embedding."),
    (r"^embed_previous\.", "prev_image_embedding."),
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
    *EMBEDDER,
    *FLOW,
    *BLOCK,
]


def published_name(name: str, normalised: bool, rules: list[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    if up := re.match(r"^(flow_network_\w+)\.up\.(\d+)\.(.*)$", name):
        name = f"{up[1]}.up_flow.{2 * int(up[2]) + 1}.layers.{up[3]}"
    if normalised:
        name = re.sub(r"\.weight$", ".weight_orig", name)
    return re.sub(r"\.([uv])$", r".weight_\1", name)


def published_weights(generator: nets.AnyGenerator) -> dict[str, Tensor]:
    """A generator's weights as the published code would have saved them, with all that it never uses."""
    rules = FEW_SHOT if generator.config.kind == "few-shot" else VID2VID
    state = dict(generator.state_dict())
    constant = state.pop("start.constant", None)
    weights = {
        published_name(name, name.removesuffix(".weight") + ".u" in state, rules): x for name, x in state.items()
    }
    if generator.config.kind == "few-shot" and not any(name.startswith("flow_previous.") for name in state):
        copies = {name: x for name, x in weights.items() if name.startswith("flow_network_ref.")}
        weights |= {name.replace("_ref.", "_temp.", 1): x for name, x in copies.items()}
    if constant is not None:  # a linear layer, whose latent vector is always zero
        weights["fc.layers.conv.bias"] = constant.flatten()
        weights["fc.layers.conv.weight"] = torch.randn(constant.numel(), 7)
    return weights


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


def build(config: Mapping[str, Any]) -> tuple[nets.AnyGenerator, nets.Discriminator]:
    """Networks of a published configuration with weights of their own; those of the generator are large."""
    channels, ours, discriminator = imaginaire_config.network_configs(config)
    if isinstance(ours, nets.GeneratorConfig):
        ours = attrs.evolve(ours, published_layout=True)
    generator = nets.build_generator(ours, label_channels=channels)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            parameter.mul_(SCALE if parameter.dim() > 1 else 1.0)
            if name == "start.constant":
                parameter.normal_()
    return generator, nets.build_discriminator(discriminator, label_channels=nets.condition_channels(ours, channels))


def used(generator: nets.AnyGenerator) -> dict[str, Tensor]:
    """A generator's weights without those that the published layout never uses."""
    kept = (
        attrs.evolve(generator.config, published_layout=False)
        if generator.config.kind == "vid2vid"
        else generator.config
    )
    with torch.device("meta"):
        names = nets.build_generator(kept, label_channels=generator.label_channels).state_dict()
    return {name: x for name, x in generator.state_dict().items() if name in names}


def averaged_weights(generator: nets.AnyGenerator) -> dict[str, Tensor]:
    """What an average of a generator is called and holds: normalised weights, so that no `weight_orig` is left."""
    averaged = nets.build_ema(generator.config, label_channels=generator.label_channels)
    averaged.load_state_dict(nets.effective_weights(generator))
    return published_weights(averaged)


def checkpoint_of(
    generator: nets.AnyGenerator, discriminator: nets.Discriminator, *, average: nets.AnyGenerator | None = None
) -> dict[str, Any]:
    """What imaginaire saves; with an average of another generator where that is given."""
    net_g = {f"module.module.{name}": x for name, x in published_weights(generator).items()}
    if average is not None:
        net_g |= {f"module.averaged_model.{name}": x for name, x in averaged_weights(average).items()}
        net_g["module.num_updates_tracked"] = torch.tensor(1234)
    else:
        net_g = {name.replace("module.module.", "module."): x for name, x in net_g.items()}
    net_d = {f"module.{name}": x for name, x in published_discriminator(discriminator).items()}
    return {"net_G": net_g, "net_D": net_d, "current_epoch": 3, "current_iteration": 600}


def write_checkpoint(path: Path, config: Mapping[str, Any]) -> tuple[nets.AnyGenerator, nets.Discriminator]:
    networks = build(config)
    torch.save(checkpoint_of(*networks), path)
    return networks
