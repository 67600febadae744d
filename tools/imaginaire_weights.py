"""The names of imaginaire's weights, and ours for them."""

import re
from collections.abc import Mapping

import vs_nets as nets
from torch import Tensor

Weights = dict[str, Tensor]

_START = "start.conv."
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
    (r"^fc\.layers\.conv\.", _START),
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


def generator_weights(
    published: Mapping[str, Tensor], *, start: nets.LabelStart | nets.ConstantStart | None = None, layout: bool = False
) -> Weights:
    """Return weights of the generator under our names.

    Args:
        published: its weights under theirs.
        start: what the first frame starts from; None: the label map.
        layout: keep those that the published layout never uses: SPADE's second projections in the encoder of the
            previous frame and, where no embedder of the warped frame exists (linear combination), in the main branch.
    """
    renamed = {generator_weight_name(name): tensor for name, tensor in published.items()}
    linear = not any(name.startswith("embed_warped.") for name in renamed)
    unused = _UNUSED_IF_LINEAR if linear else _UNUSED
    weights = {name: t for name, t in renamed.items() if layout or not unused.match(name)}
    match start:
        case nets.ConstantStart():
            return _with_constant(weights, start)
        case _:
            return weights


def _with_constant(weights: Weights, start: nets.ConstantStart) -> Weights:
    """Replace the linear layer of a latent vector that is always zero, whose product is its bias, (C * H * W)."""
    others = {name: tensor for name, tensor in weights.items() if not name.startswith(_START)}
    bias = weights.get(f"{_START}bias")
    if bias is None:
        return others
    fits = bias.numel() % (start.height * start.width) == 0
    return {**others, "start.constant": bias.reshape(-1, start.height, start.width) if fits else bias}


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
