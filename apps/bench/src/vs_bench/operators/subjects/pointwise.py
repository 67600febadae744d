"""Pointwise operators: GELU, which is the talk's experiment, and a bias with what follows it."""

from collections.abc import Callable

import torch
import vs_ops
from torch import Tensor
from vs_ops.gelu import GELU

from vs_bench.operators.subjects.subject import Make, Plan, Subject

TALK = 2**20
"""The talk's vector: "1M fp32 elements"."""
TALK_NOTE = "the talk, one V100, float32, forward: eager 5 kernels, 79 us; scripted 1 kernel, 18 us"


def gelu(*shape: int, gradient: bool = True) -> Callable[[Make], Subject]:
    """Build GELU of `shape`, forward alone without `gradient`."""

    def build(make: Make) -> Subject:
        x = make(*shape, gradient=gradient)
        return Subject(
            call=lambda impl: vs_ops.gelu(x, impl=impl),
            eager=lambda: eager_gelu(x),
            leaves=(x,) if gradient else (),
            constants=() if gradient else (x,),
        )

    return build


def eager_gelu(x: Tensor) -> Tensor:
    """Compute GELU as the talk writes it: five operators."""
    return x * 0.5 * (1.0 + torch.erf(x / 1.41421))


PLANS = (
    Plan(
        operator=GELU,
        size="the talk's vector, forward",
        build=gelu(TALK, gradient=False),
        images=False,
        rule=False,
        note=TALK_NOTE,
    ),
    Plan(operator=GELU, size="the talk's vector", build=gelu(TALK), images=False),
    Plan(operator=GELU, size="street-small, level 2", build=gelu(1, 128, 32, 64)),
)
