"""`warp` and `warp_and_blend` as plain PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import memory_format_of
from vs_ops._precision import compute_dtype, without_autocast


def warp_reference(image: Tensor, flow: Tensor) -> Tensor:
    """Compute `warp` readably."""
    with without_autocast(image):
        dtype = compute_dtype(image, flow)
        height, width = image.shape[2:]
        x, y = flow.to(dtype).unbind(1)  # (N, H, W)
        x = x + torch.arange(width, device=image.device, dtype=dtype)
        y = y + torch.arange(height, device=image.device, dtype=dtype)[:, None]
        # grid_sample counts from -1 to 1; an axis of one pixel has nowhere to go.
        half_x, half_y = max(width - 1, 1) / 2, max(height - 1, 1) / 2
        grid = torch.stack((x / half_x - 1, y / half_y - 1), dim=-1)
        # PyTorch's CPU kernel writes beyond its memory for the gradient of positions that are no numbers.
        lost = grid.isnan()
        grid = grid.masked_fill(lost, 0)
        sampled = F.grid_sample(image.to(dtype), grid, mode="bilinear", padding_mode="border", align_corners=True)
        sampled = sampled.masked_fill(lost.any(dim=-1)[:, None], torch.nan)
        # The sampling kernels answer in contiguous order, whatever they are given.
        return sampled.to(image.dtype).contiguous(memory_format=memory_format_of(image))


def warp_and_blend_reference(image: Tensor, flow: Tensor, mask: Tensor, hallucinated: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `warp_and_blend` readably."""
    warped = warp_reference(image, flow)
    dtype = compute_dtype(image)
    wide_mask = mask.to(dtype)
    blended = wide_mask * hallucinated.to(dtype) + (1 - wide_mask) * warped.to(dtype)
    return blended.to(image.dtype), warped
