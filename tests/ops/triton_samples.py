"""One small call of every operator that Triton computes, for tests that ask the same question of all of them."""

from collections.abc import Callable
from typing import Any

import attrs
import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops import _triton


@attrs.frozen
class Sample:
    """`call(impl, tensors)` calls an operator; the first `differentiable` of the tensors get gradients."""

    call: Callable[[str, tuple[Tensor, ...]], Any]
    tensors: tuple[Tensor, ...]
    differentiable: int
    twice: bool = True


def names_here(operator: vs_ops.Operator) -> list[str]:
    """The implementations that CPU tensors can be given to: Triton's only in its interpreter."""
    return [each.name for each in operator.implementations if each.name != "triton" or _triton.interpreting()]


def _noise(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _averages(impl: str, tensors: tuple[Tensor, ...], scales: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
    """Two averages, which are float32 at least, moved towards two values."""
    averages = [each.to(torch.promote_types(each.dtype, torch.float32), copy=True) for each in tensors[:2]]
    vs_ops.ema(averages, tensors[2:4], weight=0.3, scales=scales, impl=impl)
    return tuple(averages)


def samples(height: int = 5, width: int = 6) -> dict[str, Sample]:
    g = torch.Generator().manual_seed(0)
    image, other, maps = (_noise(g, 2, c, height, width) for c in (3, 3, 6))
    more, mask = _noise(g, 2, 6, height, width), torch.rand(2, 1, height, width, generator=g, dtype=torch.float64)
    flow = torch.randint(-2, 3, (2, 2, height, width), generator=g) + 0.375
    ids = torch.randint(0, 4, (2, height, width), generator=g)
    vectors = (F.normalize(_noise(g, length), dim=0) for length in (5, 9, 2, 27, 140, 3))
    return {
        "hinge_d_real": Sample(lambda impl, t: vs_ops.hinge_d_real(t[0], impl=impl), (image,), 1),
        "hinge_d_fake": Sample(lambda impl, t: vs_ops.hinge_d_fake(t[0], impl=impl), (image,), 1),
        "hinge_g": Sample(lambda impl, t: vs_ops.hinge_g(t[0], impl=impl), (image,), 1),
        "feature_matching": Sample(
            lambda impl, t: vs_ops.feature_matching([[t[0], t[1]], [t[0]]], [[t[2], t[3]], [t[2]]], impl=impl),
            (image, maps, other, more),
            2,
        ),
        "instance_norm": Sample(
            lambda impl, t: vs_ops.instance_norm(*t, eps=1e-2, impl=impl),
            (image, _noise(g, 3), _noise(g, 3)),
            3,
        ),
        "spade": Sample(
            lambda impl, t: vs_ops.spade(t[0], t[1:], eps=1e-2, negative_slope=0.2, impl=impl), (image, maps, more), 3
        ),
        "spade, up-sampling": Sample(
            lambda impl, t: vs_ops.spade(t[0], t[1:], eps=1e-2, negative_slope=0.2, upsample=True, impl=impl),
            (image, _noise(g, 2, 6, 2 * height, 2 * width), _noise(g, 2, 6, 2 * height, 2 * width)),
            3,
        ),
        "warp": Sample(lambda impl, t: vs_ops.warp(*t, impl=impl), (image, flow), 2, twice=False),
        "warp_and_blend": Sample(
            lambda impl, t: vs_ops.warp_and_blend(*t, impl=impl), (image, flow, mask, other), 4, twice=False
        ),
        "gelu": Sample(lambda impl, t: vs_ops.gelu(t[0], impl=impl), (image,), 1),
        "mask_loss": Sample(
            lambda impl, t: vs_ops.mask_loss(*t, impl=impl), (mask, image, image + 0.2 * _noise(g, *image.shape)), 3
        ),
        "ema": Sample(_averages, (image, maps, other, more), 0),
        "ema, scaled": Sample(
            lambda impl, t: _averages(impl, t, t[4:]),
            (image, maps, other, more, torch.tensor(0.5).double(), torch.tensor(-2.0).double()),
            0,
        ),
        "spectral_normalize_all": Sample(
            lambda impl, t: tuple(vs_ops.spectral_normalize_all(t[:3], t[3:6], t[6:], impl=impl).weights),
            (_noise(g, 5, 3, 3, 3), _noise(g, 9, 140), _noise(g, 2, 3), *vectors),
            3,
        ),
        "singular_values": Sample(
            lambda impl, t: tuple(vs_ops.singular_values(t[:2], t[2:4], t[4:], impl=impl)),
            (_noise(g, 5, 3, 3, 3), _noise(g, 9, 140), *(_noise(g, length) / 9 for length in (5, 9, 27, 140))),
            2,
        ),
        "one_hot": Sample(lambda impl, t: vs_ops.one_hot(t[0], 4, dont_care=True, impl=impl), (ids,), 0),
    }


def as_tuple(results: Any) -> tuple[Tensor, ...]:
    return results if isinstance(results, tuple) else (results,)


def leaves_of(sample: Sample, dtype: torch.dtype, device: str = "cpu") -> tuple[Tensor, ...]:
    """The tensors of a sample in a dtype, as leaves where they are differentiable."""
    return tuple(
        each.detach()
        .to(device, dtype if each.is_floating_point() else each.dtype)
        .requires_grad_(index < sample.differentiable)
        for index, each in enumerate(sample.tensors)
    )


def loss_of(results: Any) -> Tensor:
    """A scalar in which every element of every result has a weight of its own."""
    parts = [
        each.double().mul(torch.arange(1, each.numel() + 1, device=each.device).view_as(each).cos()).sum()
        for each in as_tuple(results)
    ]
    return torch.stack(parts).sum()
