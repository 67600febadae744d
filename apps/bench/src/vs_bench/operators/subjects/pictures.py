"""Warping of frames, at the sizes of the presets."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops.warp import WARP, WARP_AND_BLEND

from vs_bench.operators.subjects.subject import Make, Plan, Subject, laid_out


def warp(*shape: int) -> Callable[[Make], Subject]:
    """Build warping of images of `shape` by a flow of about a pixel."""

    def build(make: Make) -> Subject:
        n, _, h, w = shape
        image, flow = make(*shape), make(n, 2, h, w)
        return Subject(
            call=lambda impl: vs_ops.warp(image, flow, impl=impl),
            eager=lambda: eager_warp(image, flow),
            leaves=(image, flow),
        )

    return build


def warp_and_blend(*shape: int) -> Callable[[Make], Subject]:
    """Build warping of images of `shape`, and blending with hallucinated ones by a mask."""

    def build(make: Make) -> Subject:
        n, _, h, w = shape
        image, flow, mask, hallucinated = make(*shape), make(n, 2, h, w), make(n, 1, h, w), make(*shape)

        def eager() -> tuple[Tensor, Tensor]:
            warped = eager_warp(image, flow)
            return mask * hallucinated + (1 - mask) * warped, warped

        return Subject(
            call=lambda impl: vs_ops.warp_and_blend(image, flow, mask, hallucinated, impl=impl),
            eager=eager,
            leaves=(image, flow, mask, hallucinated),
        )

    return build


def eager_warp(image: Tensor, flow: Tensor) -> Tensor:
    """Warp backward by `F.grid_sample`; in float32: coordinates need it, and the CPU samples nothing less."""
    n, _, h, w = image.shape
    ys, xs = torch.meshgrid(
        torch.linspace(-1, 1, h, device=image.device), torch.linspace(-1, 1, w, device=image.device), indexing="ij"
    )
    scale = torch.tensor([(w - 1) / 2, (h - 1) / 2], device=image.device)
    grid = torch.stack((xs, ys), dim=-1).expand(n, h, w, 2) + flow.float().permute(0, 2, 3, 1) / scale
    warped = F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)
    return laid_out(warped.to(image.dtype), image)


PLANS = tuple(
    Plan(operator=operator, size=size, build=build(*shape))
    for operator, build in ((WARP, warp), (WARP_AND_BLEND, warp_and_blend))
    for size, shape in (
        ("street-small, a frame", (1, 3, 128, 256)),
        ("faces, a batch of frames", (4, 3, 64, 64)),
        ("street 512x1024, a frame", (1, 3, 512, 1024)),
    )
)
