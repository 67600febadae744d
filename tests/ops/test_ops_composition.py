"""Operators inside what trains networks: activation checkpointing, gradients of gradients, CUDA graphs."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
import torch
import vs_ops
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils import checkpoint
from triton_samples import names_here
from vs_ops import DescribedCall, Operator
from vs_runtime import checkpointed

CL = torch.channels_last
FORMATS = (torch.contiguous_format, CL)


@attrs.frozen
class Call:
    """How to call an operator with tensors that get gradients; `leaves` makes those, `decides` is the first of them."""

    operator: Operator
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    decides: int = 0

    def leaves(self, *, dtype: torch.dtype, device: str = "cpu") -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        made = (torch.randn(shape, generator=generator).to(device, dtype) for shape in self.shapes)
        return [each.requires_grad_() for each in made]


X, MAPS, FLOW, MASK = (2, 4, 6, 5), (2, 8, 6, 5), (2, 2, 6, 5), (2, 1, 6, 5)
CALLS = (
    Call(vs_ops.HINGE_D_REAL, vs_ops.hinge_d_real, (X,)),
    Call(vs_ops.HINGE_D_FAKE, vs_ops.hinge_d_fake, (X,)),
    Call(vs_ops.HINGE_G, vs_ops.hinge_g, (X,)),
    Call(vs_ops.INSTANCE_NORM, vs_ops.instance_norm, (X, (4,), (4,))),
    Call(vs_ops.SPADE, lambda x, *maps, **how: vs_ops.spade(x, maps, negative_slope=0.2, **how), (X, MAPS, MAPS)),
    Call(vs_ops.WARP, vs_ops.warp, (X, FLOW)),
    Call(vs_ops.WARP_AND_BLEND, vs_ops.warp_and_blend, (X, FLOW, MASK, X)),
    Call(vs_ops.MASKED_L1, vs_ops.masked_l1, (X, X, MASK)),
    Call(vs_ops.FEATURE_MATCHING, lambda a, b, **how: vs_ops.feature_matching([[a, b]], [[b, a]], **how), (X, X)),
    Call(vs_ops.HYPER_CONV2D, vs_ops.hyper_conv2d, ((2, 4, 6, 5), (2, 3, 4, 1, 1), (2, 3)), decides=1),
    Call(vs_ops.REFERENCE_MATRIX, vs_ops.reference_matrix, (X, X)),
    Call(vs_ops.ATTEND, vs_ops.attend, (X, (2, 3, 4, 6, 5), (2, 3, 7, 6, 5)), decides=1),
    Call(
        vs_ops.SPECTRAL_NORMALIZE,
        lambda weight, **how: vs_ops.spectral_normalize(weight, torch.ones(4), torch.ones(120), **how),
        ((4, 4, 6, 5),),
    ),
)
EACH = [
    pytest.param(call, impl, id=f"{call.operator.name}-{impl}") for call in CALLS for impl in names_here(call.operator)
]


def refuses(call: Call, impl: str, leaves: Sequence[Tensor]) -> bool:
    tensor = leaves[call.decides]
    described = DescribedCall(device_type=tensor.device.type, dtype=tensor.dtype, shape=tuple(tensor.shape))
    candidates = vs_ops.explain(call.operator, described)
    return any(each.implementation.name == impl and each.reason is not None for each in candidates)


def with_gradients(results: Any, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    results = results if isinstance(results, tuple) else (results,)
    loss = sum(each.float().square().sum() for each in results)
    return (*(each.detach() for each in results), *torch.autograd.grad(loss, leaves))  # type: ignore[arg-type]


@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize(("call", "impl"), EACH)
def test_recomputed_activations_are_those_that_were_thrown_away(call: Call, impl: str, autocast: bool) -> None:
    """Bit for bit, between other layers that are recomputed too, and in autocast's state of the forward."""
    leaves = call.leaves(dtype=torch.float32)
    if refuses(call, impl, leaves):
        pytest.skip(f"{impl} refuses this call")

    class Block(nn.Module):
        def forward(self, *inputs: Tensor) -> Any:
            return call.function(*(torch.tanh(each) for each in inputs), impl=impl)

    block = Block()
    with torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext():
        kept = block(*leaves)
        ours = checkpointed(block, *leaves)
        theirs = checkpoint.checkpoint(block, *leaves, use_reentrant=False)
    expected = with_gradients(kept, leaves)
    for results in (ours, theirs):
        assert all(
            torch.equal(mine, other) for mine, other in zip(with_gradients(results, leaves), expected, strict=True)
        )


def smooth(seed: int, *shape: int, order: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Noise in float64 that keeps its distance from zero, where absolute values and leaky ReLU have their kink."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values = values + 0.2 * values.sign()
    return (values.contiguous(memory_format=order) if values.dim() == 4 else values).requires_grad_()


def check_twice(function: Callable[..., Tensor], *leaves: Tensor) -> None:
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


@pytest.mark.parametrize("impl", ["reference", "torchscript"])
@pytest.mark.parametrize("name", ["hinge_d_real", "hinge_d_fake", "hinge_g"])
def test_hinge_losses_can_be_differentiated_twice(name: str, impl: str) -> None:
    """Away from the kink the second derivative of the loss is zero, and that of its square is not."""
    logits = (smooth(1, 2, 1, 3, 2) + 3).detach().requires_grad_()
    for leaf in (logits, (-logits).detach().requires_grad_()):
        check_twice(lambda x: getattr(vs_ops, name)(x, impl=impl).square(), leaf)


@pytest.mark.parametrize("impl", ["native", "reference"])
@pytest.mark.parametrize("upsample", [False, True])
@pytest.mark.parametrize("order", FORMATS)
def test_spade_can_be_differentiated_twice(impl: str, upsample: bool, order: torch.memory_format) -> None:
    x = smooth(1, 2, 2, 3, 2, order=order)
    size = (6, 4) if upsample else (3, 2)
    gamma_betas = [smooth(seed, 2, 4, *size) for seed in (2, 3)]

    def function(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        maps = [each.contiguous(memory_format=order) for each in (first, second)]
        x = x.contiguous(memory_format=order)
        result = vs_ops.spade(x, maps, eps=0.1, negative_slope=0.2, upsample=upsample, impl=impl)
        assert result.is_contiguous(memory_format=order)
        return result

    assert function(x, *gamma_betas).abs().min() > 1e-3  # nothing is so near to the kink that a finite step crosses it
    check_twice(function, x, *gamma_betas)


@pytest.mark.parametrize("impl", ["native", "reference"])
@pytest.mark.parametrize("order", FORMATS)
def test_a_penalty_on_gradients_reaches_through_spade_and_instance_norm(impl: str, order: torch.memory_format) -> None:
    """What a gradient penalty does, against the reference: the gradient of the size of a gradient."""
    x, gamma_beta = smooth(1, 2, 4, 6, 5, order=order), smooth(2, 2, 8, 6, 5, order=order)

    def penalties(impl: str) -> tuple[Tensor, ...]:
        shaded = vs_ops.spade(vs_ops.instance_norm(x, impl=impl), [gamma_beta], negative_slope=0.2, impl=impl)
        grads = torch.autograd.grad(shaded.square().sum(), (x, gamma_beta), create_graph=True)
        return torch.autograd.grad(sum(each.square().sum() for each in grads), (x, gamma_beta))  # type: ignore[arg-type]

    torch.testing.assert_close(penalties(impl), penalties("reference"))


def test_masked_l1_can_be_differentiated_twice() -> None:
    a, b = smooth(1, 2, 2, 3, 2), (smooth(1, 2, 2, 3, 2) * 0.5).detach().requires_grad_()  # |a - b| is never small
    mask = smooth(3, 2, 1, 3, 2).abs().detach().requires_grad_()
    check_twice(vs_ops.masked_l1, a, b, mask)
    check_twice(lambda *leaves: vs_ops.masked_l1(*leaves, reduction="valid"), a, b, mask)


@pytest.mark.parametrize("impl", ["reference", "torchscript"])
def test_spectral_normalisation_can_be_differentiated_twice(impl: str) -> None:
    weight, u, v = smooth(4, 3, 2, 2, 2), smooth(5, 3).detach(), smooth(6, 8).detach()
    check_twice(lambda weight: vs_ops.spectral_normalize(weight, u, v, impl=impl), weight)


@pytest.mark.parametrize("order", FORMATS)
def test_warping_can_be_differentiated_twice_in_the_image(order: torch.memory_format) -> None:
    """Warping is linear in the image, so that its square is what has a second derivative."""
    image, flow = smooth(1, 1, 2, 4, 3, order=order), torch.full((1, 2, 4, 3), 0.375, dtype=torch.float64)
    try:
        check_twice(lambda image: vs_ops.warp(image, flow, impl="reference").square(), image)
    except RuntimeError as error:
        if "grid_sampler_2d_backward is not implemented" not in str(error):
            raise
        pytest.skip(f"PyTorch {torch.__version__} has no second derivative of grid_sample")


@pytest.mark.slow
@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.operator in (vs_ops.SPADE, vs_ops.HINGE_D_REAL)], ids=["hinge", "spade"]
)
def test_what_is_compiled_says_that_it_cannot_be_differentiated_twice(call: Call) -> None:
    """Either when a graph of the gradient is asked for, or when that is differentiated; it depends on the cache."""
    leaves = call.leaves(dtype=torch.float32)
    loss = call.function(*leaves, impl="inductor").square().sum()
    with pytest.raises(RuntimeError, match=r"twice|double backward|create_graph=False"):
        torch.autograd.grad(loss, leaves, create_graph=True)[0].square().sum().backward()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.operator is not vs_ops.SPECTRAL_NORMALIZE], ids=lambda c: c.operator.name
)
def test_a_cuda_graph_replays_what_is_chosen(call: Call, dtype: torch.dtype) -> None:
    """Forward and backward are captured on one input and replayed on another, which is written over it."""
    leaves = call.leaves(dtype=dtype, device="cuda")
    others = [each.detach() * 0.5 + 0.1 for each in leaves]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            with_gradients(call.function(*leaves), leaves)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = with_gradients(call.function(*leaves), leaves)
    with torch.no_grad():
        for leaf, other in zip(leaves, others, strict=True):
            leaf.copy_(other)
    graph.replay()
    torch.cuda.synchronize()
    fresh = [each.clone().requires_grad_() for each in others]
    expected = with_gradients(call.function(*fresh), fresh)
    torch.testing.assert_close(captured, expected)
