"""Convert published weights of feature networks into the safetensors files that LPIPS, FID, KID and FVD need.

    python tools/convert_features.py alexnet-owt-7be5be79.pth weights/lpips.safetensors
    python tools/convert_features.py pt_inception-2015-12-05-6726825d.pth weights/inception.safetensors
    python tools/convert_features.py i3d_pretrained_400.pt weights/i3d.safetensors
    python tools/convert_features.py vit_g_hybrid_pt_1200e_ssv2_ft.pth weights/videomae.safetensors

What a file is, its tensors' names tell. It is read with `weights_only`, nothing in it is run, and nothing but PyTorch
is needed. Understood are:

- AlexNet and VGG-16 as torchvision publishes them, for LPIPS. The weights of its layers ("heads", version 0.1) come
  with torchmetrics; `--heads` names another file of the package `lpips`.
- Inception-v3 for FID as pytorch-fid and torch-fidelity publish it.
- I3D as state dict, with the names of pytorch-i3d. The one that is published as a TorchScript archive is a program,
  which is not read: i3d_pretrained_400.pt has its weights.
- VideoMAE, v1 and v2, fine-tuned.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

import attrs
import torch
from convert_vgg19 import ConversionError, read_published, require_numbers
from torch import Tensor
from vs_config import shown
from vs_config.commands import run_command
from vs_metrics.errors import FeatureFileError
from vs_metrics.features import (
    AlexLpipsConfig,
    FeatureNetwork,
    I3dConfig,
    InceptionConfig,
    VggLpipsConfig,
    VideoMaeConfig,
    load_features,
    save_features,
)
from vs_metrics.features.weights import FeatureConfig, build

Published = dict[str, Tensor]

WRAPPERS = ("module", "model", "state_dict")
"""Names under which checkpoints of training keep their weights."""

NORM = ("weight", "bias", "running_mean", "running_var")

ALEXNET_CONVS = (0, 3, 6, 8, 10)
VGG16_CONVS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Positions of the convolutions in torchvision's sequences of layers."""

FINE = ("1x1", "5x5_1", "5x5_2", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3", "_pool")
HALVE_FINE = ("3x3", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3")
MIDDLE = ("1x1", *(f"7x7_{i}" for i in range(1, 4)), *(f"7x7dbl_{i}" for i in range(1, 6)), "_pool")
HALVE_MIDDLE = ("3x3_1", "3x3_2", *(f"7x7x3_{i}" for i in range(1, 5)))
COARSE = ("1x1", "3x3_1", "3x3_2a", "3x3_2b", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3a", "3x3dbl_3b", "_pool")
INCEPTION_STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
INCEPTION_BLOCKS = {
    "Mixed_5b": FINE,
    "Mixed_5c": FINE,
    "Mixed_5d": FINE,
    "Mixed_6a": HALVE_FINE,
    "Mixed_6b": MIDDLE,
    "Mixed_6c": MIDDLE,
    "Mixed_6d": MIDDLE,
    "Mixed_6e": MIDDLE,
    "Mixed_7a": HALVE_MIDDLE,
    "Mixed_7b": COARSE,
    "Mixed_7c": COARSE,
}
"""Published names of the convolutions of each block of Inception-v3, in the order of ours."""

I3D_STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
I3D_BLOCKS = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
I3D_BRANCHES = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")

VIDEOMAE_HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16}
"""Heads of attention of the published sizes (S, B, L, H, g) by their width, as no tensor tells."""

VIDEOMAE_BLOCK = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")


@attrs.frozen(kw_only=True)
class Plan:
    """A network that a published file becomes: its sizes, and the published name of each of its tensors, in order."""

    config: FeatureConfig
    names: Sequence[str]


def lpips_plan(config: AlexLpipsConfig | VggLpipsConfig) -> Plan:
    """Return how a classifier of torchvision with the heads of `lpips` beside it becomes LPIPS."""
    heads = [f"lin{i}.model.1.weight" for i in range(5)]
    positions = ALEXNET_CONVS if isinstance(config, AlexLpipsConfig) else VGG16_CONVS
    return Plan(config=config, names=[*with_parts((f"features.{i}" for i in positions), ("weight", "bias")), *heads])


def inception_plan(config: InceptionConfig) -> Plan:
    """Return how the Inception-v3 of pytorch-fid becomes ours."""
    inner = (f"{block}.branch{unit}" for block, units in INCEPTION_BLOCKS.items() for unit in units)
    parts = ("conv.weight", *(f"bn.{one}" for one in NORM))
    return Plan(config=config, names=with_parts((*INCEPTION_STEM, *inner), parts))


def i3d_plan(config: I3dConfig) -> Plan:
    """Return how the I3D of pytorch-i3d becomes ours."""
    inner = (f"Mixed_{block}.{branch}" for block in I3D_BLOCKS for branch in I3D_BRANCHES)
    parts = ("conv3d.weight", *(f"bn.{one}" for one in NORM))
    logits = ("logits.conv3d.weight", "logits.conv3d.bias")
    return Plan(config=config, names=[*with_parts((*I3D_STEM, *inner), parts), *logits])


def videomae_plan(config: VideoMaeConfig) -> Plan:
    """Return how a VideoMAE whose biases of attention were put together becomes ours."""
    inner = (f"blocks.{i}.{part}" for i in range(config.depth) for part in VIDEOMAE_BLOCK)
    return Plan(config=config, names=with_parts(("patch_embed.proj", *inner, "fc_norm"), ("weight", "bias")))


def with_parts(modules: Iterable[str], parts: Sequence[str]) -> list[str]:
    """Return the names of all parts of each module."""
    return [f"{module}.{part}" for module in modules for part in parts]


def videomae_config(state: Published, where: Path) -> VideoMaeConfig:
    """Return the sizes of a published VideoMAE."""
    shapes = [getattr(state.get(name), "shape", ()) for name in ("patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")]
    match [tuple(shape) for shape in shapes]:
        case [(width, _, tubelet, patch, _), (inner, _)]:
            pass
        case _:
            raise ConversionError(f"{where}: patch_embed.proj.weight and blocks.0.mlp.fc1.weight are not VideoMAE's")
    if width not in VIDEOMAE_HEADS:
        raise ConversionError(f"{where}: a width of {width} is of no published VideoMAE ({[*VIDEOMAE_HEADS]})")
    depth = len({name.split(".")[1] for name in state if re.match(r"blocks\.\d+\.", name)})
    return VideoMaeConfig(
        width=width, depth=depth, heads=VIDEOMAE_HEADS[width], inner=inner, patch=patch, tubelet=tubelet
    )


def with_attention_biases(state: Published) -> Published:
    """Return a VideoMAE's tensors with one bias for query, key and value of each block: that of keys is always 0."""
    joined = dict(state)
    for prefix in [name.removesuffix("q_bias") for name in state if name.endswith(".q_bias")]:
        match state[f"{prefix}q_bias"], state.get(f"{prefix}v_bias"):
            case Tensor() as query, Tensor() as value:
                joined[f"{prefix}qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    return joined


def unwrapped(state: Published) -> Published:
    """Return the weights of a checkpoint of training, or of a file that holds nothing else."""
    for name in WRAPPERS:
        match state.get(name):
            case dict(inner):
                return inner
    return state


def published_heads(name: str) -> Path:
    """Return the file of LPIPS's heads that torchmetrics brings."""
    return Path(str(resources.files("torchmetrics.functional.image") / "lpips_models" / f"{name}.pth"))


def plan_of(state: Published, where: Path, heads: Path | None) -> tuple[Plan, Published]:
    """Say what network a state dict is of, and return it with all tensors that the network needs."""
    if "features.10.weight" in state:  # both have a convolution there
        config, name = (VggLpipsConfig(), "vgg") if "features.28.weight" in state else (AlexLpipsConfig(), "alex")
        return lpips_plan(config), state | read_published(heads or published_heads(name))
    if "Mixed_5b.branch1x1.conv.weight" in state:
        return inception_plan(InceptionConfig()), state
    if "Mixed_3b.b0.conv3d.weight" in state:
        return i3d_plan(I3dConfig()), state
    if "patch_embed.proj.weight" in state:
        return videomae_plan(videomae_config(state, where)), with_attention_biases(state)
    raise ConversionError(
        f"{where}: none of AlexNet, VGG-16, Inception-v3 for FID, I3D, VideoMAE by its tensors' names"
    )


def fill(plan: Plan, state: Published, where: Path) -> FeatureNetwork:
    """Return the network of a plan with the published tensors; raises `ConversionError` for the first that misfits."""
    with torch.device("meta"):
        network = build(plan.config)
    filled = {}
    for published, (ours, tensor) in zip(plan.names, network.state_dict().items(), strict=True):
        found = state.get(published)
        if not isinstance(found, Tensor) or found.squeeze().shape != tensor.squeeze().shape:
            what = f"of shape {tuple(found.shape)}" if isinstance(found, Tensor) else "missing"
            raise ConversionError(f"{where}: {published} is {what}, expected {tuple(tensor.shape)}")
        require_numbers(found, f"{where}: {published}")
        filled[ours] = found.to(torch.float32).reshape(tensor.shape)
    network.load_state_dict(filled, assign=True)
    return network.requires_grad_(False)


def convert(source: Path, target: Path, heads: Path | None = None) -> FeatureNetwork:
    """Write the network that `source` holds to `target`, or nothing at all, and return it as it is read again."""
    if target.exists() and not target.is_file():  # a device would be replaced by the file
        raise ConversionError(f"{target}: is there and no file; name the file to write")
    try:
        plan, state = plan_of(unwrapped(read_published(source)), source, heads)
    except ConversionError:
        raise
    except ValueError as error:
        raise ConversionError(f"{source}: sizes that no such network has ({error})") from error
    save_features(target, fill(plan, state, source), source=source.name)
    return load_features(target)


def main(source: Path, target: Path, heads: Path | None = None) -> None:
    """Convert a published feature network.

    Args:
        source: The published file.
        target: The file to write.
        heads: Of AlexNet and VGG-16: LPIPS's weights of their layers, where those of torchmetrics are not wanted.
    """
    network = convert(source, target, heads)
    size = target.stat().st_size / 2**20
    print(f"{shown(target)}: {type(network).__name__}, {size:.0f} MiB; use it with --features {shown(target)}")


if __name__ == "__main__":
    sys.exit(run_command(main, ConversionError, FeatureFileError))
