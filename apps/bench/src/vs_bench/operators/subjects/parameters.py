"""Operators over the parameters of networks: spectral norm of one layer and of all of them, moving averages."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops.ema import EMA
from vs_ops.singular_values import SINGULAR_VALUES
from vs_ops.spectral_norm import POWER_ITERATION, SPECTRAL_NORMALIZE
from vs_ops.spectral_normalize_all import SPECTRAL_NORMALIZE_ALL

from vs_bench.operators.subjects import apex
from vs_bench.operators.subjects.networks import NETWORKS, Network, parameter_shapes, spectral_shapes
from vs_bench.operators.subjects.subject import Make, Plan, Subject

EPS = 1e-12
WEIGHT = 0.001


def power_iteration(*shape: int) -> Callable[[Make], Subject]:
    """Build one iteration for a weight of `shape`."""

    def build(make: Make) -> Subject:
        matrix = make.parameter(*shape, gradient=False).flatten(1)
        u, v = make.direction(matrix.shape[0]), make.direction(matrix.shape[1])
        return Subject(
            call=lambda impl: vs_ops.power_iteration(matrix, u, v, impl=impl),
            eager=lambda: eager_iteration(matrix, u),
            constants=(matrix, u),
        )

    return build


def spectral_normalize(*shape: int) -> Callable[[Make], Subject]:
    """Build a weight of `shape` by its norm, given the singular vectors."""

    def build(make: Make) -> Subject:
        weight = make.parameter(*shape)
        u, v = make.direction(shape[0]), make.direction(math.prod(shape[1:]))
        return Subject(
            call=lambda impl: vs_ops.spectral_normalize(weight, u, v, impl=impl),
            eager=lambda: eager_division(weight, u, v),
            leaves=(weight,),
            constants=(u, v),
        )

    return build


@torch.no_grad()
def eager_iteration(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Make one power iteration as `torch.nn.utils.parametrizations.spectral_norm` does."""
    v = F.normalize(torch.mv(matrix.t(), u), dim=0, eps=EPS)
    return F.normalize(torch.mv(matrix, v), dim=0, eps=EPS), v


def eager_division(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Divide as `torch.nn.utils.parametrizations.spectral_norm` does."""
    u, v = u.clone(), v.clone()
    sigma = torch.vdot(u, torch.mv(weight.flatten(1), v))
    return weight / sigma


def spectral_normalize_all(network: Network, dtype: torch.dtype) -> Callable[[Make], Subject]:
    """Build an iteration and a division for all layers of a network; results in the dtype of convolutions."""

    def build(make: Make) -> Subject:
        shapes = spectral_shapes(network)
        weights = [make.parameter(*shape) for shape in shapes]
        us = [make.direction(shape[0]) for shape in shapes]
        vs = [make.direction(math.prod(shape[1:])) for shape in shapes]
        return Subject(
            call=lambda impl: vs_ops.spectral_normalize_all(weights, us, vs, dtype=dtype, impl=impl),
            eager=lambda: eager_all(weights, us, dtype),
            leaves=tuple(weights),
            constants=tuple(us),
            decides=max(weights, key=Tensor.numel),
        )

    return build


def eager_all(weights: Sequence[Tensor], us: Sequence[Tensor], dtype: torch.dtype) -> tuple[list[Tensor], ...]:
    """Loop over the layers, as networks do; the casts are those that autocast makes."""
    pairs = [eager_iteration(weight.detach().flatten(1), u) for weight, u in zip(weights, us, strict=True)]
    normalised = [eager_division(weight, *pair).to(dtype) for weight, pair in zip(weights, pairs, strict=True)]
    return normalised, [u for u, _ in pairs], [v for _, v in pairs]


def singular_values(network: Network) -> Callable[[Make], Subject]:
    """Build the singular values of all layers of a network, given the vectors; forward, as an EMA needs them."""

    def build(make: Make) -> Subject:
        shapes = spectral_shapes(network)
        weights = [make.parameter(*shape, gradient=False) for shape in shapes]
        us = [make.direction(shape[0]) for shape in shapes]
        vs = [make.direction(math.prod(shape[1:])) for shape in shapes]
        layers = list(zip(weights, us, vs, strict=True))
        return Subject(
            call=lambda impl: vs_ops.singular_values(weights, us, vs, impl=impl),
            eager=lambda: [torch.vdot(u, torch.mv(weight.flatten(1), v)) for weight, u, v in layers],
            constants=(*weights, *us, *vs),
            decides=max(weights, key=Tensor.numel),
        )

    return build


def ema(network: Network, *, scaled: bool) -> Callable[[Make], Subject]:
    """Build a step of the EMA of all parameters, each scaled by a number on the device if asked."""

    def build(make: Make) -> Subject:
        shapes = parameter_shapes(network)
        averages, values = ([make.parameter(*shape, gradient=False) for shape in shapes] for _ in range(2))
        scales = list(make.parameter(len(shapes), gradient=False).unbind()) if scaled else None
        return Subject(
            call=lambda impl: vs_ops.ema(averages, values, weight=WEIGHT, scales=scales, impl=impl),
            eager=lambda: eager_ema(averages, values, scales),
            constants=(*averages, *values, *(scales or ())),
            mutated=tuple(averages),
            apex=None if scaled else lambda: apex.ema(averages, values, 1 - WEIGHT),
        )

    return build


@torch.no_grad()
def eager_ema(averages: Sequence[Tensor], values: Sequence[Tensor], scales: Sequence[Tensor] | None) -> None:
    """Loop over the parameters, as published code averages them."""
    for index, (average, value) in enumerate(zip(averages, values, strict=True)):
        average.mul_(1 - WEIGHT).add_(value if scales is None else value * scales[index], alpha=WEIGHT)


ONE_LAYER = tuple(
    Plan(operator=operator, size=size, build=build(*shape), images=False, parameters=True)
    for operator, build in (
        (POWER_ITERATION, power_iteration),
        (SPECTRAL_NORMALIZE, spectral_normalize),
    )
    for size, shape in (
        ("street-small, level 1", (64, 128, 3, 3)),
        ("street-small, bottleneck", (256, 256, 3, 3)),
        ("few-shot default, a linear layer", (1024, 1024)),
    )
)
ALL_LAYERS = tuple(
    Plan(
        operator=SPECTRAL_NORMALIZE_ALL,
        size=f"{network}, all layers of the generator, to {str(dtype).removeprefix('torch.')}",
        build=spectral_normalize_all(network, dtype),
        images=False,
        parameters=True,
        rule=dtype is torch.float32,  # the choice does not see the dtype of the results
        large=network == "few-shot default",
    )
    for network in NETWORKS
    for dtype in (torch.float32, torch.bfloat16)
)
SIGMAS = tuple(
    Plan(
        operator=SINGULAR_VALUES,
        size=f"{network}, all layers of the generator",
        build=singular_values(network),
        images=False,
        parameters=True,
        large=network == "few-shot default",
    )
    for network in NETWORKS
)
AVERAGES = tuple(
    Plan(
        operator=EMA,
        size=f"{network}, all parameters of the generator{', scaled' * scaled}",
        build=ema(network, scaled=scaled),
        images=False,
        parameters=True,
        large=network == "few-shot default",
    )
    for network in NETWORKS
    for scaled in (False, True)
)
PLANS = (*ONE_LAYER, *ALL_LAYERS, *SIGMAS, *AVERAGES)
