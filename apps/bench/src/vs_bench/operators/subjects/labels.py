"""Label maps: class ids to channels, and their convolution."""

from collections.abc import Callable

import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops.label_conv2d import LABEL_CONV2D
from vs_ops.one_hot import ONE_HOT

from vs_bench.operators.subjects.subject import FORMATS, Make, Plan, Subject


def one_hot(classes: int, n: int, height: int, width: int) -> Callable[[Make], Subject]:
    """Build the channels of a label map."""

    def build(make: Make) -> Subject:
        ids = make.ids(classes, n, height, width)
        return Subject(
            call=lambda impl: vs_ops.one_hot(ids, classes, dtype=make.dtype, impl=impl),
            eager=lambda: eager_one_hot(ids, classes, make),
            constants=(ids,),
        )

    return build


def eager_one_hot(ids: Tensor, classes: int, make: Make) -> Tensor:
    """Compute channels as `F.one_hot` makes them."""
    channels = F.one_hot(ids.long(), classes).permute(0, 3, 1, 2)
    return channels.to(make.dtype, memory_format=FORMATS[make.memory_format])


def label_conv2d(
    classes: int, c_out: int, kernel: int, height: int, width: int, *, stride: int = 1
) -> Callable[[Make], Subject]:
    """Build a convolution of a label map as networks begin with."""

    def build(make: Make) -> Subject:
        ids, padding = make.ids(classes, 1, height, width), (kernel - 1) // 2
        weight, bias = make(c_out, classes, kernel, kernel), make(c_out)
        return Subject(
            call=lambda impl: vs_ops.label_conv2d(ids, weight, bias, stride=stride, padding=padding, impl=impl),
            eager=lambda: F.conv2d(eager_one_hot(ids, classes, make), weight, bias, stride, padding),
            leaves=(weight, bias),
            constants=(ids,),
        )

    return build


PLANS = (
    *(
        Plan(operator=ONE_HOT, size=size, build=one_hot(*shape), images=False)
        for size, shape in (
            ("street-small, a label map", (35, 1, 128, 256)),
            ("street 512x1024, a label map", (35, 1, 512, 1024)),
        )
    ),
    Plan(
        operator=LABEL_CONV2D,
        size="street-small, embedder's first layer",
        build=label_conv2d(35, 16, 3, 128, 256),
    ),
    Plan(
        operator=LABEL_CONV2D,
        size="street-small, discriminator's first layer",
        build=label_conv2d(35, 32, 4, 128, 256, stride=2),
    ),
    Plan(
        operator=LABEL_CONV2D,
        size="street 512x1024, embedder's first layer",
        build=label_conv2d(35, 32, 3, 512, 1024),
        large=True,
    ),
)
