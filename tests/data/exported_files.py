"""Small networks of PyTorch as exported programs (`.pt2`), and files that pretend to be one."""

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SOME = torch.export.Dim.DYNAMIC


class Shift(nn.Module):
    """Flow that is the same everywhere."""

    step: Tensor

    def __init__(self, x: float, y: float) -> None:
        super().__init__()
        self.register_buffer("step", torch.tensor([x, y]).view(1, 2, 1, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.step + torch.zeros_like(first[:, :2]) * second.mean()


class Search(nn.Module):
    """For each pixel of the first frame, the step of at most `reach` pixels to what is most like it in the second."""

    steps: Tensor

    def __init__(self, reach: int = 3) -> None:
        super().__init__()
        self.reach = reach
        steps = [(x, y) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
        self.register_buffer("steps", torch.tensor(steps, dtype=torch.float32))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        height, width = first.shape[2:]
        wide = F.pad(second, [self.reach] * 4, mode="replicate")
        span = range(2 * self.reach + 1)
        there = [wide[:, :, y : y + height, x : x + width] for y in span for x in span]
        apart = torch.cat([(first - each).abs().mean(1, keepdim=True) for each in there], 1)
        return self.steps[F.avg_pool2d(apart, 5, 1, 2).argmin(1)].permute(0, 3, 1, 2)


class Mix(nn.Module):
    """Sums of a frame's channels, for each pixel."""

    weights: Tensor

    def __init__(self, weights: list[list[float]]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights)[..., None, None])

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weights)


def save(
    path: Path, network: nn.Module, frames: int, size: tuple[int, int] = (32, 48), *, any_size: bool = True
) -> Path:
    """Export a network of as many frames (N,3,H,W), of any number and size, or of those of the example."""
    example = tuple(torch.rand(2, 3, *size) for _ in range(frames))
    shapes = ({0: SOME, 2: SOME, 3: SOME},) * frames if any_size else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network.eval(), example, dynamic_shapes=shapes), path)
    return path


def rewritten(path: Path, out: Path, changes: Mapping[str, Callable[[bytes], bytes]]) -> Path:
    """Write a copy of an archive in which members that end with a name are what a function makes of them."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            for name, change in changes.items():
                if member.filename.endswith(name):
                    content = change(content)
            new.writestr(member.filename, content)
    return out


def with_model(path: Path, out: Path, change: Callable[[Any], None]) -> Path:
    """Write a copy of an archive whose graph is changed in place by a function."""

    def changed(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return rewritten(path, out, {"models/model.json": changed})


def damaged(path: Path, out: Path, at: int, value: int, keep: int | None = None) -> Path:
    """Write a copy whose byte is another one, and of which no more is left than said."""
    shutil.copyfile(path, out)
    content = bytearray(out.read_bytes())[:keep]
    if content:
        content[at % len(content)] = value
    out.write_bytes(content)
    return out
