"""Convolutions with what comes before them: up-sampling."""

from collections.abc import Callable

import torch.nn.functional as F
import vs_ops
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


PLANS = tuple(
    Plan(operator=UPSAMPLE_CONV2D, size=size, build=upsample_conv2d(*shape))
    for size, shape in (
        ("street-small, flow network's last decoder", (1, 32, 16, 64, 128)),
        ("street-small, flow network's first decoder", (1, 128, 128, 8, 16)),
        ("faces, flow network's last decoder", (4, 32, 16, 32, 32)),
        ("few-shot default at 128x128, flow network's last decoder", (1, 64, 32, 64, 64)),
    )
)
