"""Convert the published weights of VGG-19 into the safetensors file that the perceptual loss reads.

    python tools/convert_vgg19.py vgg19-dcbb9e9d.pth weights/vgg19.safetensors

The input is the file that torchvision publishes (ImageNet weights of `torchvision.models.vgg19`); neither torchvision
nor a network is needed here. Only the convolutions up to relu_5_1 are kept, a tenth of the file. The
preset `cityscapes` looks for the result in weights/; elsewhere, name it: objective.perceptual.path=FILE.
"""

import hashlib
import os
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from vs_config import shown
from vs_config.commands import run_command
from vs_nets.errors import WeightsError
from vs_nets.perceptual import CONV_INDICES, WIDTHS, load_vgg19


class ConversionError(ValueError):
    """A file that is not what it should be; the message is one line that says what to do."""


def published_checksum(name: str) -> str | None:
    """Return the first digits of the SHA-256 that publishers put into file names (`vgg19-dcbb9e9d.pth`), or None."""
    match = re.fullmatch(r".+-([0-9a-f]{8,64})\.pth", name)
    return match.group(1) if match else None


def read_published(path: Path) -> dict[str, Tensor]:
    """Return the state dict in `path`; raises `ConversionError` for a file that is missing, damaged or another one."""
    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    expected = published_checksum(path.name)
    if expected is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(expected):
            raise ConversionError(
                f"{path}: its SHA-256 begins with {found[:8]}, not with {expected}: download it again"
            )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises whatever the bytes of another kind of file lead it to
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConversionError(f"{path}: not a file of weights: {reason}") from error
    if not isinstance(state, dict):
        raise ConversionError(f"{path}: holds a {type(state).__name__}, not a dict of tensors by name")
    return state


def require_numbers(tensor: Tensor, where: str) -> None:
    """Raise `ConversionError` unless a tensor is weights: dense, of real numbers with fractions, all finite."""
    if tensor.layout is not torch.strided or tensor.is_meta or not tensor.is_floating_point():
        raise ConversionError(f"{where} is no dense tensor of numbers with fractions, as weights are")
    if not tensor.isfinite().all():
        raise ConversionError(f"{where} has values that are not finite")


def select_layers(state: dict[str, Tensor], where: Path) -> dict[str, Tensor]:
    """Return the layers up to relu_5_1 in float32; raises `ConversionError` when they are not those of VGG-19."""
    selected = {}
    channels = 3
    for index, width in zip(CONV_INDICES, WIDTHS, strict=True):
        for part, shape in (("weight", (width, channels, 3, 3)), ("bias", (width,))):
            name = f"features.{index}.{part}"
            tensor = state.get(name)
            if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
                found = f"of shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else "missing"
                raise ConversionError(f"{where}: not torchvision's VGG-19: {name} is {found}, expected {shape}")
            require_numbers(tensor, f"{where}: {name}")
            selected[name] = tensor.to(torch.float32).contiguous()
        channels = width
    return selected


def convert(source: Path, target: Path) -> None:
    """Write the layers of `source` that the perceptual loss needs to `target`, or nothing at all."""
    if target.exists() and not target.is_file():  # a device would be replaced by the file
        raise ConversionError(f"{target}: is there and no file; name the file to write")
    layers = select_layers(read_published(source), source)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(layers, partial, metadata={"source": source.name})
        load_vgg19(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def main(source: Path, target: Path = Path("weights/vgg19.safetensors")) -> None:
    """Convert torchvision's VGG-19.

    Args:
        source: The published file, vgg19-dcbb9e9d.pth.
        target: The file to write.
    """
    convert(source, target)
    size = target.stat().st_size / 2**20
    print(f"{shown(target)}: {size:.0f} MiB; use it with objective.perceptual.path={shown(target)}")


if __name__ == "__main__":
    sys.exit(run_command(main, ConversionError, WeightsError))
