"""Operators of the few-shot network: generated convolutions, references as matrices, attention over references."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops.attend import ATTEND
from vs_ops.hyper_conv2d import HYPER_CONV2D
from vs_ops.reference_matrix import REFERENCE_MATRIX

from vs_bench.operators.subjects.subject import Make, Plan, Subject


def hyper_conv2d(n: int, c_in: int, c_out: int, kernel: int, *size: int) -> Callable[[Make], Subject]:
    """Build a convolution of stride 1 whose weights come with each of `n` samples."""

    def build(make: Make) -> Subject:
        x, weight, bias = make(n, c_in, *size), make(n, c_out, c_in, kernel, kernel), make(n, c_out)
        padding = kernel // 2

        def eager() -> Tensor:
            samples = (F.conv2d(x[i : i + 1], weight[i], bias[i], padding=padding) for i in range(n))
            return torch.cat(list(samples))

        return Subject(
            call=lambda impl: vs_ops.hyper_conv2d(x, weight, bias, padding=padding, impl=impl),
            eager=eager,
            leaves=(weight, x, bias),
        )

    return build


def reference_matrix(n: int, channels: int, *size: int) -> Callable[[Make], Subject]:
    """Build the matrix of an image's and a label's features, both of `channels`."""

    def build(make: Make) -> Subject:
        image, label = make(n, channels, *size), make(n, channels, *size)
        return Subject(
            call=lambda impl: vs_ops.reference_matrix(image, label, impl=impl),
            eager=lambda: image.flatten(2) @ label.softmax(dim=1).flatten(2).transpose(1, 2),
            leaves=(image, label),
        )

    return build


def attend(n: int, references: int, channels: int, values_channels: int, *size: int) -> Callable[[Make], Subject]:
    """Build attention of a frame over all positions of its references."""

    def build(make: Make) -> Subject:
        query, keys = make(n, channels, *size), make(n, references, channels, *size)
        values = make(n, references, values_channels, *size)

        def eager() -> tuple[Tensor, Tensor]:
            weights = torch.einsum("nchw,nkcyx->nhwkyx", query, keys).flatten(3).softmax(3)
            weights = weights.unflatten(3, keys.shape[1:2] + keys.shape[3:])
            return torch.einsum("nhwkyx,nkdyx->ndhw", weights, values), weights.sum((4, 5)).permute(0, 3, 1, 2)

        return Subject(
            call=lambda impl: vs_ops.attend(query, keys, values, impl=impl), eager=eager, leaves=(keys, query, values)
        )

    return build


PLANS = (
    *(
        Plan(operator=HYPER_CONV2D, size=size, build=hyper_conv2d(*shape))
        for size, shape in (
            ("faces, SPADE of level 0", (4, 16, 64, 1, 64, 64)),
            ("faces, embedder's level 0", (4, 32, 16, 3, 64, 64)),
            ("few-shot default at 128x128, SPADE of level 0", (1, 32, 128, 1, 128, 128)),
            ("few-shot default at 128x128, embedder's level 0", (1, 64, 32, 3, 128, 128)),
        )
    ),
    *(
        Plan(operator=REFERENCE_MATRIX, size=size, build=reference_matrix(*shape))
        for size, shape in (
            ("faces, level 2", (4, 64, 4, 4)),
            ("few-shot default at 128x128, level 3", (1, 256, 4, 4)),
            ("few-shot default at 512x512, level 4", (1, 512, 16, 16)),
        )
    ),
    *(
        # No rule: what `native` is there for is memory, of which larger calls than these have too little.
        Plan(operator=ATTEND, size=size, build=attend(*shape), rule=False, large=shape[-1] > 32)
        for size, shape in (
            ("faces, 2 references at a quarter", (4, 2, 64, 128, 16, 16)),
            ("few-shot at 128x128, 3 references at a quarter", (1, 3, 128, 256, 32, 32)),
            ("few-shot at 256x256, 2 references at a quarter", (1, 2, 128, 256, 64, 64)),
        )
    ),
)
