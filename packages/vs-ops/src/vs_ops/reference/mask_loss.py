"""`mask_loss` as plain PyTorch."""

from torch import Tensor

from vs_ops._precision import compute_dtype, mean


def mask_loss_reference(mask: Tensor, warped: Tensor, frame: Tensor) -> Tensor:
    """Compute `mask_loss` readably."""
    dtype = compute_dtype(mask, warped, frame)
    mask, warped, frame = mask.to(dtype), warped.to(dtype), frame.to(dtype)
    right = (1 - (warped - frame).abs().sum(dim=1, keepdim=True)).clamp(0, 1)  # (N, 1, H, W)
    pulled_down, pulled_up = mask.abs() * right, (mask - 1).abs() * (1 - right)
    return mean(pulled_down + pulled_up)
