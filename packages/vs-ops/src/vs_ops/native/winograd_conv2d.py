"""`winograd_conv2d` as three matrix products: tiles to points, channels at each point, points to tiles.

With the matrices of F(4x4, 3x3), a 4x4 tile y of the result comes from the 6x6 tile d of the padded input around it
and a 3x3 kernel g as y = A^T [(G g G^T) * (B^T d B)] A. Both transforms of tiles are linear: matrices of 36x36 and
16x36 over all tiles and channels at once. The gradient runs through the same matrices transposed: it needs no kernel
of its own.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import memory_format_of
from vs_ops._precision import without_autocast

TILE = 4
"""Side of a tile of the result in pixels."""
_POINTS = TILE + 2
_B = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
_A = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
_G = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)


class _Transforms(NamedTuple):
    """Matrices over a tile's pixels in rows: of the input to 36 points, and of 36 points to 16 pixels."""

    entry: Tensor
    exit: Tensor


@functools.cache
def _transforms(device: torch.device, dtype: torch.dtype) -> _Transforms:
    with torch.inference_mode(False):  # they serve training later, whoever asks first
        entry, leave = (torch.tensor(rows, dtype=dtype, device=device) for rows in (_B, _A))
        return _Transforms(torch.kron(entry, entry), torch.kron(leave, leave))


@torch.no_grad()
def transformed_kernel(weight: Tensor) -> Tensor:
    """Return (36, C_in, C_out) of a weight (C_out, C_in, 3, 3), computed in float64."""
    g = torch.tensor(_G, dtype=torch.float64, device=weight.device)
    rows = torch.kron(g, g)  # (36, 9)
    c_out, c_in = weight.shape[:2]
    kernel = torch.empty(_POINTS**2, c_in, c_out, dtype=weight.dtype, device=weight.device)
    for some in torch.arange(c_out, device=weight.device).split(64):  # float64 of all at once would be large
        taps = weight[some].double().flatten(2)  # (some, C_in, 9)
        kernel[:, :, some] = torch.einsum("pt,oit->pio", rows, taps).to(weight.dtype)
    return kernel


def winograd_convolution(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve (N, C_in, H, W) by a kernel (36, C_in, C_out)."""
    with without_autocast(x):
        result = _winograd(x, kernel)
        return result if bias is None else result + bias.view(-1, 1, 1)


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.order = memory_format_of(x)
        return _convolved(x, kernel).contiguous(memory_format=ctx.order)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (kernel,) = ctx.saved_tensors
        with without_autocast(grad):
            return _gradient(grad, kernel).contiguous(memory_format=ctx.order), None


_winograd: Callable[[Tensor, Tensor], Tensor] = _Winograd.apply


def _convolved(x: Tensor, kernel: Tensor) -> Tensor:
    n, _, h, w = x.shape
    rows, columns, width = -(-h // TILE), -(-w // TILE), kernel.shape[2]
    transforms = _transforms(x.device, x.dtype)
    found = _filtered(transforms.entry, _tiles(x, rows, columns), kernel, transforms.exit)
    found = found.view(TILE, TILE, n, rows, columns, width).permute(2, 3, 0, 4, 1, 5)
    whole = found.reshape(n, rows * TILE, columns * TILE, width)
    return whole[:, :h, :w].permute(0, 3, 1, 2)  # (N, C_out, H, W), channels-last


def _filtered(into: Tensor, tiles: Tensor, kernel: Tensor, out: Tensor) -> Tensor:
    """Return tiles (pixels, ..., C) after the products of channels at 36 points: (pixels, tiles * C_out)."""
    # What has been read goes, as it is as large as a layer many times over: hence one name for all.
    found = into @ tiles.view(into.shape[1], -1)
    del tiles
    found = torch.bmm(found.view(_POINTS**2, -1, kernel.shape[1]), kernel)
    return out @ found.view(_POINTS**2, -1)


def _tiles(x: Tensor, rows: int, columns: int) -> Tensor:
    """Return the overlapping tiles of the padded `x`, (6, 6, N, rows, columns, C)."""
    n, c, h, w = x.shape
    padded = F.pad(
        x.contiguous(memory_format=torch.channels_last), (1, columns * TILE - w + 1, 1, rows * TILE - h + 1)
    ).contiguous(memory_format=torch.channels_last)
    down, across = (columns * TILE + 2) * c, c
    strides = (down, across, (rows * TILE + 2) * down, TILE * down, TILE * across, 1)
    return padded.as_strided((_POINTS, _POINTS, n, rows, columns, c), strides).contiguous()


def _gradient(grad: Tensor, kernel: Tensor) -> Tensor:
    """Return the gradient of the input (N, C_in, H, W), channels-last, of that of the result."""
    n, _, h, w = grad.shape
    rows, columns, c = -(-h // TILE), -(-w // TILE), kernel.shape[1]
    transforms = _transforms(grad.device, grad.dtype)
    found = _filtered(transforms.exit.t(), _parted(grad, rows, columns), kernel.transpose(1, 2), transforms.entry.t())
    return _added(found.view(_POINTS, _POINTS, n, rows, columns, c))[:, 1 : h + 1, 1 : w + 1].permute(0, 3, 1, 2)


def _parted(grad: Tensor, rows: int, columns: int) -> Tensor:
    """Return the tiles of (N, C, H, W) side by side, (4, 4, N, rows, columns, C)."""
    n, c, h, w = grad.shape
    pixels = F.pad(grad.permute(0, 2, 3, 1), (0, 0, 0, columns * TILE - w, 0, rows * TILE - h))
    return pixels.reshape(n, rows, TILE, columns, TILE, c).permute(2, 4, 0, 1, 3, 5).contiguous()


def _added(tiles: Tensor) -> Tensor:
    """Add up overlapping tiles (6, 6, N, rows, columns, C) to what they were cut from: (N, H + 4, W + 4, C)."""
    _, _, n, rows, columns, c = tiles.shape
    whole = tiles.new_zeros(n, rows + 1, TILE, columns + 1, TILE, c)
    tiles = tiles.permute(2, 3, 0, 4, 1, 5)  # (N, rows, 6, columns, 6, C)
    whole[:, :-1, :, :-1] = tiles[:, :, :TILE, :, :TILE]
    whole[:, 1:, :2, :-1] += tiles[:, :, TILE:, :, :TILE]
    whole[:, :-1, :, 1:, :2] += tiles[:, :, :TILE, :, TILE:]
    whole[:, 1:, :2, 1:, :2] += tiles[:, :, TILE:, :, TILE:]
    return whole.view(n, (rows + 1) * TILE, (columns + 1) * TILE, c)
