"""What is done to the gradients of one network between backward and step: unscaled, checked, measured, clipped."""

from collections.abc import Iterable, Sequence
from typing import Literal

import attrs
import torch
from torch import Tensor

from vs_optim.finite import finite

Finding = Literal["finite", "overflow", "not_finite"]
"""`finite`: gradients and losses are. `overflow`: some gradient is not, though losses and parameters are, so that a
smaller loss scale may cure it. `not_finite`: a loss or a parameter is not finite itself, which no loss scale cures."""

Scale = float | Tensor
"""What losses are multiplied by. As a tensor, () float32 on their device, it may change in what a CUDA graph holds."""


@attrs.frozen(kw_only=True, eq=False)
class GradientReport:
    """Findings in the gradients of one network.

    Attributes:
        finding: None where nobody waited for the device, so that it is not known yet.
        norm: () on the gradients' device: L2 norm of all gradients, unscaled and before clipping.
        underflow: () on that device: see `underflow_fraction`; None unless asked for.
    """

    finding: Finding | None
    norm: Tensor
    underflow: Tensor | None = None


def scale_loss(loss: Tensor, scale: Scale) -> Tensor:
    """Return `loss` in float32 times the scale, of which to call `backward`; the loss itself at a scale of 1.

    A scale in a tensor always multiplies.
    """
    match scale:
        case float(1.0):
            return loss
        case _:
            return loss.float() * scale


def take_gradients(
    parameters: Iterable[Tensor],
    *,
    scale: Scale = 1.0,
    losses: Sequence[Tensor] = (),
    wait: bool = True,
    clip_norm: float | None = None,
    underflow_of: torch.dtype | None = None,
) -> GradientReport:
    """Divide gradients in place by the loss scale, check and measure them, and clip them in place. Take no step.

    Everything goes through the gradients of a network as lists, and what is to be known on the host is fetched in one
    wait for the device; only where something is not finite a second one finds out what.

    Args:
        parameters: of one network. Those without a gradient, and empty ones, are passed over.
        scale: what the loss was multiplied by. A power of two unscales exactly.
        losses: the network's losses, float32, not scaled, of any shape; checked in the same wait.
        wait: whether to wait for the device. Without it `finding` is None and the caller looks at `norm`, later.
        clip_norm: the largest L2 norm of all gradients together, after unscaling; longer ones are shortened to it.
        underflow_of: the format whose `underflow_fraction` to measure, before unscaling; None: not measured.
    """
    kept = [p for p in parameters if p.grad is not None and p.grad.numel() > 0]
    gradients = [p.grad for p in kept if p.grad is not None]
    if not gradients:
        return GradientReport(finding=_find(None, losses) if wait else None, norm=torch.zeros(()))
    underflow = None if underflow_of is None else underflow_fraction(gradients, underflow_of)
    match scale:
        case float(1.0):
            pass
        case _:
            torch._foreach_mul_(gradients, 1.0 / scale)
    norms = _norms(gradients)
    norm = torch.linalg.vector_norm(norms)
    finding = _find(norms, losses) if wait else None
    if finding == "overflow":
        finding, norm = _second_look(kept, gradients)
    if clip_norm is not None and finding in ("finite", None):
        torch._foreach_mul_(gradients, (clip_norm / norm).clamp(max=1.0).to(norms.dtype))
    return GradientReport(finding=finding, norm=norm.float(), underflow=underflow)


def underflow_fraction(gradients: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return the fraction, () float32, of elements below the smallest normal number of `dtype`, zeros included.

    Of gradients as backward leaves them, still multiplied by the loss scale: such an element had fewer bits than the
    format has, or none, when it was computed in `dtype`. Elements that are zero for other reasons (channels that a ReLU
    has closed, classes that are not in the picture) count too, since nobody can tell them apart: what tells is how the
    fraction falls as the scale rises. Waits for nothing.

    Args:
        gradients: at least one, none empty, on one device.
        dtype: the compute dtype, such as `torch.float16`, whose smallest normal number is 2**-14.
    """
    smallest = torch.finfo(dtype).tiny
    below = torch.stack([(gradient.abs() < smallest).sum() for gradient in gradients]).sum()
    return (below.double() / sum(gradient.numel() for gradient in gradients)).float()


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of each tensor, (P,), on the device of the first."""
    norms = torch._foreach_norm(list(tensors), 2.0)
    return torch.stack([norm.to(norms[0].device) for norm in norms])


def _find(norms: Tensor | None, losses: Sequence[Tensor]) -> Finding:
    """Return what norms and losses say; here is the wait for the device."""
    told = [*(() if norms is None else (norms,)), *(loss.detach().reshape(-1) for loss in losses)]
    if not told:
        return "finite"
    device = told[0].device
    values = torch.cat([value.to(device, torch.float64) for value in told]).isfinite().tolist()
    count = 0 if norms is None else len(norms)
    if not all(values[count:]):
        return "not_finite"
    return "finite" if all(values[:count]) else "overflow"


def _second_look(parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> tuple[Finding, Tensor]:
    """Look exactly at gradients some of whose norms are not finite; also return their norm in float64.

    The square of a finite gradient can overflow too: such a gradient is large, and no overflow.
    """
    norm = torch.linalg.vector_norm(_norms([gradient.double() for gradient in gradients]))
    if bool(finite(gradients).all()):
        return "finite", norm
    return ("overflow" if bool(finite([p.detach() for p in parameters]).all()) else "not_finite"), norm
