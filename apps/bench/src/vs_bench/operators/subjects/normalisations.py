"""Instance norm and SPADE at the levels of the generators."""

from collections.abc import Callable

import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops.instance_norm import INSTANCE_NORM
from vs_ops.spade import SPADE

from vs_bench.operators.subjects import apex
from vs_bench.operators.subjects.subject import Make, Plan, Subject, laid_out

SLOPE = 0.2


def instance_norm(*shape: int) -> Callable[[Make], Subject]:
    """Build instance norm with scale and shift of features of `shape`."""

    def build(make: Make) -> Subject:
        x = make(*shape)
        scale, shift = make.parameter(shape[1]), make.parameter(shape[1])
        return Subject(
            call=lambda impl: vs_ops.instance_norm(x, scale, shift, impl=impl),
            eager=lambda: laid_out(F.instance_norm(x, weight=scale, bias=shift), x),
            leaves=(x, scale, shift),
            apex=lambda: apex.instance_norm(x, scale, shift),
        )

    return build


def spade(*shape: int, maps: int, upsample: bool = False) -> Callable[[Make], Subject]:
    """Build SPADE of features of `shape`, up-sampled first if asked, by so many maps, with leaky ReLU."""

    def build(make: Make) -> Subject:
        n, c, h, w = (*shape[:2], 2 * shape[2], 2 * shape[3]) if upsample else shape
        x, gamma_betas = make(*shape), [make(n, 2 * c, h, w) for _ in range(maps)]
        return Subject(
            call=lambda impl: vs_ops.spade(x, gamma_betas, negative_slope=SLOPE, upsample=upsample, impl=impl),
            eager=lambda: eager_spade(F.interpolate(x, scale_factor=2) if upsample else x, gamma_betas),
            leaves=(x, *gamma_betas),
        )

    return build


def eager_spade(x: Tensor, gamma_betas: list[Tensor]) -> Tensor:
    """Compute SPADE as published code does, in whatever memory format that answers (see `laid_out`)."""
    x = F.instance_norm(x)
    for gamma_beta in gamma_betas:
        gamma, beta = gamma_beta.chunk(2, dim=1)
        x = x * (1 + gamma) + beta
    return F.leaky_relu(x, SLOPE)


def _spade(size: str, *shape: int, maps: int, upsample: bool = False, gpu: bool = False) -> Plan:
    counted = "one map" if maps == 1 else f"{maps} maps"
    return Plan(
        operator=SPADE,
        size=f"{size}{', up-sampled' * upsample}, {counted}",
        build=spade(*shape, maps=maps, upsample=upsample),
        rule=not upsample,  # the choice sees the small features, and would think it little work
        large=gpu,
        gpu=gpu,
    )


PLANS = (
    *(
        Plan(operator=INSTANCE_NORM, size=size, build=instance_norm(*shape))
        for size, shape in (
            ("street-small, flow network's finest level", (1, 16, 128, 256)),
            ("street-small, discriminator", (1, 64, 32, 64)),
            ("street-small, flow network's bottleneck", (1, 128, 8, 16)),
            ("faces, flow network's finest level", (4, 16, 64, 64)),
            ("discriminator's first layer at 256x512", (1, 32, 128, 256)),
        )
    ),
    *(
        Plan(operator=INSTANCE_NORM, size=size, build=instance_norm(*shape), large=True, gpu=True)
        for size, shape in (
            ("cityscapes, flow network's finest level", (2, 32, 512, 1024)),
            ("cityscapes, discriminator's second layer", (2, 64, 128, 256)),
        )
    ),
    _spade("street-small, level 0", 1, 32, 128, 256, maps=1),
    _spade("street-small, level 0", 1, 32, 128, 256, maps=2),
    _spade("street-small, level 0 before its block", 1, 64, 128, 256, maps=2),
    _spade("street-small, level 2", 1, 128, 32, 64, maps=2),
    _spade("street-small, level 4", 1, 256, 8, 16, maps=1),
    _spade("street-small, level 0", 1, 32, 64, 128, maps=2, upsample=True),
    _spade("street-small, level 2", 1, 128, 16, 32, maps=2, upsample=True),
    _spade("faces, level 0", 4, 16, 64, 64, maps=1),
    _spade("faces, level 0", 4, 16, 64, 64, maps=3),
    _spade("faces, level 1", 4, 64, 32, 32, maps=3),
    _spade("faces, level 3", 4, 128, 8, 8, maps=1),
    _spade("few-shot default at 128x128, level 0", 1, 32, 128, 128, maps=3),
    _spade("cityscapes, level 0", 2, 32, 512, 1024, maps=2, gpu=True),
    _spade("cityscapes, level 2", 2, 128, 128, 256, maps=2, gpu=True),
    _spade("cityscapes, level 5", 2, 1024, 16, 32, maps=1, gpu=True),
    _spade("face-forensics, level 0", 3, 32, 512, 512, maps=3, gpu=True),
)
