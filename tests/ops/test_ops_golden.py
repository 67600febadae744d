"""Warping, masked L1 and one-hot against tensors of another implementation."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import vs_ops
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared/golden")


@pytest.fixture(scope="module")
def losses() -> dict[str, Tensor]:
    return load_file(GOLDEN / "c_losses.safetensors")


def close(value: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(value.detach(), expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


def test_warping_by_small_and_by_large_flows(losses: dict[str, Tensor]) -> None:
    image = losses["in.real"][:, 1].clone().requires_grad_()
    close(vs_ops.warp(image, losses["in.flow"]), losses["out.warped"], 1e-5)
    warped = vs_ops.warp(image, losses["in.big_flow"])
    close(warped, losses["out.big_warp"], 1e-5)
    (grad,) = torch.autograd.grad(warped.square().sum(), image)
    close(grad, losses["grad.big_warp_sum_sq.wrt.image"], 1e-5)


def test_the_flow_loss_and_its_gradient(losses: dict[str, Tensor]) -> None:
    flow = losses["in.flow"].clone().requires_grad_()
    loss = vs_ops.masked_l1(flow, losses["in.flow_gt"], losses["in.conf_gt"])
    close(loss, losses["out.flow_L1"], 1e-5)
    (grad,) = torch.autograd.grad(loss, flow)
    close(grad, losses["grad.flow_L1.wrt.flow"], 1e-5)


def test_the_mean_over_valid_elements(losses: dict[str, Tensor]) -> None:
    loss = vs_ops.masked_l1(losses["in.flow"], losses["in.flow_gt"], losses["in.conf_gt"], reduction="valid")
    close(loss, losses["out.masked_l1_normalize_over_valid"], 1e-6)


def of_masked_l1(mask: Tensor, warped: Tensor, real: Tensor) -> Tensor:
    confidence = (1 - (warped - real).abs().sum(1, keepdim=True)).clamp(0, 1)
    hidden = vs_ops.masked_l1(mask, torch.zeros_like(mask), confidence)
    return hidden + vs_ops.masked_l1(mask, torch.ones_like(mask), 1 - confidence)


@pytest.mark.parametrize("mask_loss", [of_masked_l1, vs_ops.mask_loss], ids=["masked_l1", "mask_loss"])
def test_the_mask_loss_and_the_gradients_that_reach_the_flow(
    losses: dict[str, Tensor], mask_loss: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> None:
    flow, mask = losses["in.flow"].clone().requires_grad_(), losses["in.mask"].clone().requires_grad_()
    real = losses["in.real"]
    loss = mask_loss(mask, vs_ops.warp(real[:, 1], flow), real[:, 2])
    close(loss, losses["out.flow_mask"], 1e-5)
    # A confidence at its bound decides by a rounding, so that this gradient starts from the golden warped frame.
    warped = losses["out.warped"].clone().requires_grad_()
    wrt_mask, wrt_flow = torch.autograd.grad(loss, (mask, flow))
    (wrt_warped,) = torch.autograd.grad(mask_loss(mask, warped, real[:, 2]), warped)
    for name, grad in (("mask", wrt_mask), ("flow", wrt_flow), ("warped", wrt_warped)):
        expected = losses[f"grad.flow_mask.wrt.{name}"]
        assert (grad - expected).norm() <= 1e-4 * expected.norm()


def test_one_hot_makes_the_label_of_the_network() -> None:
    tensors = load_file(GOLDEN / "a1_vid2vid_seg.safetensors")
    label = tensors["in.label"]
    ids = tensors["in.seg_index"]
    result = vs_ops.one_hot(ids.flatten(0, 1), label.shape[2]).view(label.shape)
    assert torch.equal(result, label)
