"""Losses at the sizes of the discriminators' logits and features."""

from collections.abc import Callable

import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops import Operator
from vs_ops.feature_matching import FEATURE_MATCHING
from vs_ops.hinge import HINGE_D_FAKE, HINGE_D_REAL, HINGE_G
from vs_ops.mask_loss import MASK_LOSS
from vs_ops.masked_l1 import MASKED_L1

from vs_bench.operators.subjects.subject import Make, Plan, Subject

EAGER_HINGE: dict[str, Callable[[Tensor], Tensor]] = {
    "hinge_d_real": lambda logits: F.relu(1 - logits).mean(),
    "hinge_d_fake": lambda logits: F.relu(1 + logits).mean(),
    "hinge_g": lambda logits: -logits.mean(),
}
# Channels, height and width of the features of a discriminator's layers, at both scales.
STREET = (
    ((32, 64, 128), (64, 32, 64), (128, 16, 32), (256, 15, 31)),
    ((32, 32, 64), (64, 16, 32), (128, 8, 16), (256, 7, 15)),
)
FACES = (
    ((16, 32, 32), (32, 16, 16), (64, 8, 8), (64, 7, 7)),
    ((16, 16, 16), (32, 8, 8), (64, 4, 4), (64, 3, 3)),
)


def hinge(operator: Operator[[Tensor], Tensor], *shape: int) -> Callable[[Make], Subject]:
    """Build a hinge loss of logits of `shape`."""

    def build(make: Make) -> Subject:
        logits = make(*shape)
        return Subject(
            call=lambda impl: getattr(vs_ops, operator.name)(logits, impl=impl),
            eager=lambda: EAGER_HINGE[operator.name](logits),
            leaves=(logits,),
        )

    return build


def masked_l1(*shape: int) -> Callable[[Make], Subject]:
    """Build masked L1 between images of `shape`, one of which needs no gradient."""

    def build(make: Make) -> Subject:
        n, _, h, w = shape
        a, b, mask = make(*shape), make(*shape, gradient=False), make(n, 1, h, w)
        return Subject(
            call=lambda impl: vs_ops.masked_l1(a, b, mask, impl=impl),
            eager=lambda: ((a - b).abs() * mask).mean(),
            leaves=(a, mask),
            constants=(b,),
        )

    return build


def mask_loss(*shape: int) -> Callable[[Make], Subject]:
    """Build the loss of masks for frames of `shape`, of which the warped ones are right here and there."""

    def build(make: Make) -> Subject:
        n, _, h, w = shape
        mask, warped = make(n, 1, h, w), make(*shape)
        frame = warped.detach() + 0.2 * make(*shape, gradient=False)

        def eager() -> Tensor:
            right = (1 - (warped - frame).abs().sum(dim=1, keepdim=True)).clamp(0, 1)
            return (mask.abs() * right).mean() + ((mask - 1).abs() * (1 - right)).mean()

        return Subject(
            call=lambda impl: vs_ops.mask_loss(mask, warped, frame, impl=impl),
            eager=eager,
            leaves=(mask, warped),
            constants=(frame,),
        )

    return build


def feature_matching(n: int, scales: tuple[tuple[tuple[int, int, int], ...], ...]) -> Callable[[Make], Subject]:
    """Build feature matching over all layers of a discriminator."""

    def build(make: Make) -> Subject:
        fake = [[make(n, *size) for size in sizes] for sizes in scales]
        real = [[make(n, *size, gradient=False) for size in sizes] for sizes in scales]
        pairs = [pair for ours, theirs in zip(fake, real, strict=True) for pair in zip(ours, theirs, strict=True)]
        return Subject(
            call=lambda impl: vs_ops.feature_matching(fake, real, impl=impl),
            eager=lambda: sum(F.l1_loss(ours, theirs) for ours, theirs in pairs) / len(scales),
            leaves=tuple(ours for ours, _ in pairs),
            constants=tuple(theirs for _, theirs in pairs),
        )

    return build


PLANS = (
    *(
        Plan(operator=operator, size=size, build=hinge(operator, *shape))
        for operator in (HINGE_D_REAL, HINGE_D_FAKE, HINGE_G)
        for size, shape in (
            ("street-small, logits of the coarser scale", (1, 1, 7, 15)),
            ("street-small, logits of the finer scale", (1, 1, 15, 31)),
            ("street 512x1024, logits of 4 frames", (4, 1, 63, 127)),
        )
    ),
    Plan(operator=MASKED_L1, size="street-small, a frame", build=masked_l1(1, 3, 128, 256)),
    Plan(operator=MASKED_L1, size="faces, a batch of frames", build=masked_l1(4, 3, 64, 64)),
    Plan(operator=MASK_LOSS, size="street-small, a frame", build=mask_loss(1, 3, 128, 256)),
    Plan(operator=MASK_LOSS, size="faces, a batch of frames", build=mask_loss(4, 3, 64, 64)),
    Plan(operator=FEATURE_MATCHING, size="street-small, both scales", build=feature_matching(1, STREET)),
    Plan(operator=FEATURE_MATCHING, size="faces, both scales", build=feature_matching(4, FACES)),
)
