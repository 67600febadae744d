"""The references of a few-shot generator: example frames of a subject with their labels, and choosing among them."""

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from vs_nets.errors import ShapeError

COMPARED_SIZE = 32
"""Labels are compared at this size at most: thin edges that lie side by side are near each other only there."""


@attrs.frozen(kw_only=True, eq=False)
class References:
    """K example frames of each subject of a batch.

    Attributes:
        frames: (N, K, 3, H, W) in [-1, 1].
        labels: (N, K, C, H, W): their encoded labels (see `encode_labels`).
    """

    frames: Tensor
    labels: Tensor

    @property
    def count(self) -> int:
        """K."""
        return self.frames.shape[1]


def check_references(references: References, channels: int, stride: int) -> None:
    """Raise `ShapeError` unless frames and labels fit each other and a network with these label channels and stride."""
    frames, labels = references.frames, references.labels
    if frames.dim() != 5 or frames.shape[2] != 3:
        raise ShapeError(f"reference frames have shape {tuple(frames.shape)}: expected (N, K, 3, H, W)")
    n, k, _, height, width = frames.shape
    if k < 1:
        raise ShapeError("there is no reference: at least one example frame of the subject is needed")
    if labels.shape != (n, k, channels, height, width):
        raise ShapeError(
            f"reference labels have shape {tuple(labels.shape)}: expected {(n, k, channels, height, width)}, "
            "like the reference frames"
        )
    if height % stride or width % stride:
        raise ShapeError(f"references have size {height}x{width}: height and width must be divisible by {stride}")


def pick_reference(x: Tensor, chosen: Tensor) -> Tensor:
    """Pick the entry of each sample's chosen reference: (N, K, ...) and (N,) indices -> (N, ...)."""
    if x.shape[1] == 1:
        return x[:, 0]
    return x[torch.arange(x.shape[0], device=x.device), chosen]


def nearest_reference(label: Tensor, labels: Tensor) -> Tensor:
    """Find for each sample the reference whose label is nearest to the target's.

    Near means: mean absolute difference of the labels, averaged over squares so that at most 32x32 of them are left.

    Args:
        label: (N, C, H, W), the target's.
        labels: (N, K, C, H, W), the references'.

    Returns:
        (N,) int64 indices.
    """
    n, k = labels.shape[:2]
    small: Tensor = _coarse(labels.flatten(0, 1)).unflatten(0, (n, k))
    return (small - _coarse(label)[:, None]).abs().flatten(2).mean(2).argmin(1)


def _coarse(x: Tensor) -> Tensor:
    height, width = (min(side, COMPARED_SIZE) for side in x.shape[-2:])
    return F.adaptive_avg_pool2d(x.float(), (height, width))


def few_shot_condition(label: Tensor, references: References, chosen: Tensor) -> Tensor:
    """Return what discriminators see beside a few-shot frame: label, reference label, reference frame.

    (N, C, H, W) -> (N, 2C + 3, H, W); build them with `few_shot_condition_channels` in place of the label's channels.
    """
    return torch.cat(
        [label, pick_reference(references.labels, chosen), pick_reference(references.frames, chosen)], dim=1
    )


def few_shot_condition_channels(label_channels: int, frame_channels: int = 3) -> int:
    """Return the channels of `few_shot_condition`."""
    return 2 * label_channels + frame_channels
