"""Convolutions with what comes before them: up-sampling, or the division of their weight by its singular value."""

from collections.abc import Callable

import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops.spectral_conv2d import SPECTRAL_CONV2D
from vs_ops.upsample_conv2d import UPSAMPLE_CONV2D

from vs_bench.operators.subjects.subject import Make, Plan, Subject


def upsample_conv2d(n: int, c_in: int, c_out: int, height: int, width: int) -> Callable[[Make], Subject]:
    """Build doubling of features of this size and a 3x3 convolution."""

    def build(make: Make) -> Subject:
        x, weight, bias = make(n, c_in, height, width), make(c_out, c_in, 3, 3), make(c_out)
        return Subject(
            call=lambda impl: vs_ops.upsample_conv2d(x, weight, bias, impl=impl),
            eager=lambda: F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, bias, padding=1),
            leaves=(x, weight, bias),
        )

    return build


def spectral_conv2d(n: int, c_in: int, c_out: int, height: int, width: int) -> Callable[[Make], Subject]:
    """Build a 3x3 convolution of features of this size by a spectrally normalised weight."""

    def build(make: Make) -> Subject:
        x, weight, bias = make(n, c_in, height, width), make(c_out, c_in, 3, 3), make(c_out)
        u, v = make.direction(c_out), make.direction(c_in * 9)
        (sigma,) = vs_ops.singular_values([weight.detach()], [u], [v])  # the power iteration before it knows it

        def eager() -> Tensor:
            divided = weight / (u @ (weight.flatten(1).to(v.dtype) @ v)).to(weight.dtype)
            return F.conv2d(x, divided, bias, padding=1)

        return Subject(
            call=lambda impl: vs_ops.spectral_conv2d(x, weight, bias, u, v, sigma=sigma, padding=1, impl=impl),
            eager=eager,
            leaves=(x, weight, bias),
            constants=(u, v),
        )

    return build


PLANS = tuple(
    Plan(operator=UPSAMPLE_CONV2D, size=size, build=upsample_conv2d(*shape))
    for size, shape in (
        ("street-small, flow network's last decoder", (1, 32, 16, 64, 128)),
        ("street-small, flow network's first decoder", (1, 128, 128, 8, 16)),
        ("faces, flow network's last decoder", (4, 32, 16, 32, 32)),
        ("few-shot default at 128x128, flow network's last decoder", (1, 64, 32, 64, 64)),
    )
) + tuple(
    Plan(operator=SPECTRAL_CONV2D, size=size, build=spectral_conv2d(*shape))
    for size, shape in (
        ("few-shot default at 128x128, lowest level", (1, 1024, 1024, 4, 4)),
        ("few-shot default at 128x128, level 4", (1, 1024, 512, 8, 8)),
        ("few-shot default at 256x256, level 4", (1, 1024, 512, 16, 16)),
        ("smallest", (1, 8, 16, 6, 6)),
    )
)
