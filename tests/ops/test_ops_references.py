"""What holds of the operators that turn references into weights: per-sample convolution, matrices, attention.

Implementations are called by themselves here, also where they refuse a call because another one is quicker.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from vs_ops import ATTEND, HYPER_CONV2D, REFERENCE_MATRIX, DescribedCall, choose

CL = torch.channels_last
quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31 - 1)
matrices = pytest.mark.parametrize("impl", [each.name for each in REFERENCE_MATRIX.implementations])
HYPER = {each.name: each.function for each in HYPER_CONV2D.implementations}
ATTENTION = {each.name: each.function for each in ATTEND.implementations}
attentions = pytest.mark.parametrize("attend", ATTENTION.values(), ids=ATTENTION)
SIZE = (9, 8)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(
    seed=seeds,
    samples=st.integers(1, 3),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    memory_format=st.sampled_from([torch.contiguous_format, CL]),
    with_bias=st.booleans(),
)
@quick
def test_hyper_convolution_is_one_convolution_per_sample(
    seed: int,
    samples: int,
    kernel: int,
    stride: int,
    padding: int,
    memory_format: torch.memory_format,
    with_bias: bool,
) -> None:
    x = noise(seed, samples, 3, 7, 6).contiguous(memory_format=memory_format)
    weight = noise(seed + 1, samples, 5, 3, kernel, kernel)
    bias = noise(seed + 2, samples, 5) if with_bias else None
    alone = [
        F.conv2d(x[i : i + 1], weight[i], None if bias is None else bias[i], stride, padding) for i in range(samples)
    ]
    results = [
        vs_ops.hyper_conv2d(x, weight, bias, stride=stride, padding=padding),
        vs_ops.hyper_conv2d(x, weight, bias, stride=stride, padding=padding, impl="reference"),
        HYPER["native"](x, weight, bias, stride, padding),
    ]
    for result in results:
        torch.testing.assert_close(result, torch.cat(alone), rtol=1e-4, atol=1e-4)
        assert result.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("function", HYPER.values(), ids=HYPER)
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, CL])
def test_hyper_convolution_can_be_differentiated_twice(
    function: Callable[..., Tensor], kernel: int, samples: int, memory_format: torch.memory_format
) -> None:
    x = noise(1, samples, 2, 4, 3).double().contiguous(memory_format=memory_format).requires_grad_()
    weight = noise(2, samples, 3, 2, kernel, kernel).double().requires_grad_()
    bias = noise(3, samples, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda *leaves: function(*leaves, 1, kernel // 2), (x, weight, bias))
    assert torch.autograd.gradgradcheck(lambda *leaves: function(*leaves, 1, kernel // 2), (x, weight, bias))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("samples", [0, 1, 2])
@pytest.mark.parametrize("generated", [torch.float32, torch.bfloat16])
def test_under_autocast_a_hyper_convolution_computes_in_its_dtype(
    kernel: int, samples: int, generated: torch.dtype
) -> None:
    x = noise(1, samples, 4, 6, 5).contiguous(memory_format=CL).requires_grad_()
    weight = noise(2, samples, 3, 4, kernel, kernel).to(generated).requires_grad_()
    bias = noise(3, samples, 3).requires_grad_()
    rounded = [each.detach().bfloat16().double() for each in (x, weight, bias)]
    exact = vs_ops.hyper_conv2d(*rounded)  # type: ignore[arg-type]
    for function in (HYPER["native"], HYPER["reference"]) if samples else (HYPER["reference"],):
        with torch.autocast("cpu", torch.bfloat16):
            result = function(x, weight, bias, 1, 0)
        assert result.dtype is torch.bfloat16
        assert not samples or result.is_contiguous(memory_format=CL)
        torch.testing.assert_close(result.double(), exact, rtol=2**-6, atol=2**-5)
        grads = torch.autograd.grad(result.sum(), (x, weight, bias))
        assert [each.dtype for each in grads] == [torch.float32, generated, torch.float32]


@pytest.mark.draws_shapes
@matrices
@given(seed=seeds, height=st.integers(1, 9), width=st.integers(1, 9), scale=st.sampled_from([1.0, 1e4]))
@quick
def test_the_columns_of_a_reference_matrix_share_out_the_image(
    impl: str, seed: int, height: int, width: int, scale: float
) -> None:
    image, label = noise(seed, 2, 3, height, width), scale * noise(seed + 1, 2, 5, height, width)
    result = vs_ops.reference_matrix(image, label, impl=impl)
    torch.testing.assert_close(result.sum(2), image.sum((2, 3)), rtol=1e-4, atol=1e-4)
    even = vs_ops.reference_matrix(image, 0 * label, impl=impl)
    torch.testing.assert_close(even, image.sum((2, 3))[:, :, None].expand(-1, -1, 5) / 5, rtol=1e-4, atol=1e-4)


@matrices
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_reference_matrix_is_summed_in_float32(impl: str, dtype: torch.dtype) -> None:
    image = torch.full((1, 2, 64, 64), 0.25, dtype=dtype)
    label = torch.zeros(1, 4, 64, 64, dtype=dtype)
    result = vs_ops.reference_matrix(image, label, impl=impl)  # 4096 / 16 each, where float16 sums stop growing early
    assert result.dtype is dtype
    assert torch.equal(result, torch.full((1, 2, 4), 256.0, dtype=dtype))


@attentions
@given(seed=seeds, count=st.integers(1, 3), scale=st.sampled_from([0.0, 1.0, 50.0]))
@settings(max_examples=10, deadline=None)
def test_attention_weights_add_up_to_one_and_follow_the_references(
    attend: Callable[..., tuple[Tensor, Tensor]], seed: int, count: int, scale: float
) -> None:
    query, keys = noise(seed, 1, 3, *SIZE), scale * noise(seed + 1, 1, count, 3, *SIZE)
    values = noise(seed + 2, 1, count, 2, *SIZE)
    merged, weights = attend(query, keys, values)
    torch.testing.assert_close(weights.sum(1), torch.ones(1, *SIZE), rtol=0, atol=1e-5)
    assert weights.min() >= 0
    assert merged.min() >= values.min() - 1e-5
    assert merged.max() <= values.max() + 1e-5
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    again, moved = attend(query, keys[:, order], values[:, order])
    torch.testing.assert_close(again, merged, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(moved, weights[:, order], rtol=1e-3, atol=1e-4)


@attentions
def test_references_that_are_alike_share_alike_and_change_nothing(attend: Callable[..., tuple[Tensor, Tensor]]) -> None:
    query, keys, values = noise(1, 1, 3, *SIZE), noise(2, 1, 1, 3, *SIZE), noise(3, 1, 1, 2, *SIZE)
    alone, whole = attend(query, keys, values)
    merged, weights = attend(query, keys.repeat(1, 4, 1, 1, 1), values.repeat(1, 4, 1, 1, 1))
    torch.testing.assert_close(whole, torch.ones_like(whole))
    torch.testing.assert_close(merged, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weights, torch.full_like(weights, 0.25))


@attentions
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_huge_logits_pick_the_one_key_that_fits(
    attend: Callable[..., tuple[Tensor, Tensor]], dtype: torch.dtype
) -> None:
    """Logits of 1e4 where the key is the position's own and of at most half as much elsewhere."""
    n_positions = SIZE[0] * SIZE[1]
    turns = torch.arange(n_positions) % 2  # two kinds of positions
    query = (100 * torch.stack((turns, 1 - turns))).view(1, 2, *SIZE).to(dtype).requires_grad_()
    # The first reference offers what positions of kind 1 look for, and the second what those of kind 0 look for.
    keys = torch.zeros(1, 2, 2, *SIZE, dtype=dtype)
    keys[0, 0, 0], keys[0, 1, 1] = 100, 100
    keys.requires_grad_()
    values = noise(3, 1, 2, 3, *SIZE).to(dtype).requires_grad_()
    merged, weights = attend(query, keys, values)
    first = turns.view(1, *SIZE).float()
    torch.testing.assert_close(weights, torch.stack((first, 1 - first), 1))
    means = values.detach().float().mean((3, 4))[0].to(dtype)  # of each reference
    torch.testing.assert_close(
        merged, torch.where(first[:, None] > 0, means[0].view(1, 3, 1, 1), means[1].view(1, 3, 1, 1))
    )
    grads = torch.autograd.grad((merged.float().square().sum() + weights.square().sum()), (query, keys, values))
    assert all(each.isfinite().all() for each in grads)


@attentions
def test_attention_widens_whatever_is_wider_than_its_query(attend: Callable[..., tuple[Tensor, Tensor]]) -> None:
    query, keys, values = noise(1, 1, 3, *SIZE), noise(2, 1, 1, 3, *SIZE), noise(3, 1, 1, 2, *SIZE)
    half, weights = attend(query.half(), keys.half(), values.half())
    assert (half.dtype, weights.dtype) == (torch.float16, torch.float32)
    double, weights = attend(query.half(), keys.double(), values)
    assert (double.dtype, weights.dtype) == (torch.float32, torch.float64)
    exact, _ = ATTENTION["reference"](query.half().double(), keys.double(), values.double())
    torch.testing.assert_close(double, exact.float(), rtol=1e-6, atol=1e-6)


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest tensor has that any operator returns, in backward too."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in (result if isinstance(result, tuple) else (result,)) if isinstance(each, Tensor)]
        self.size = max([self.size, *(each.numel() for each in tensors)])
        return result


@pytest.mark.parametrize("channels", [(4, 2), (8, 40)], ids=["wide keys", "wide values"])
def test_only_the_reference_holds_the_matrix_of_weights(channels: tuple[int, int]) -> None:
    (h, w), (c, d) = (32, 32), channels
    matrix = 2 * (h * w) ** 2
    leaves = [noise(1, 1, c, h, w), noise(2, 1, 2, c, h, w), noise(3, 1, 2, d, h, w)]
    for impl, holds in (("native", False), ("reference", True)):
        with Largest() as largest:
            results = ATTENTION[impl](*(each.requires_grad_() for each in leaves))
            torch.autograd.grad(results, leaves, [torch.ones_like(each) for each in results])
        assert (largest.size >= matrix) is holds
        assert holds or largest.size <= matrix / 16


@pytest.mark.parametrize(
    ("operator", "call", "chosen"),
    [
        (HYPER_CONV2D, DescribedCall(shape=(4, 8, 4, 1, 1)), "native"),
        (HYPER_CONV2D, DescribedCall(shape=(1, 8, 4, 3, 3)), "native"),
        (HYPER_CONV2D, DescribedCall(shape=(4, 8, 4, 3, 3)), "reference"),
        (HYPER_CONV2D, DescribedCall(shape=(4, 8, 4, 3, 3), device_type="cuda"), "native"),
        (HYPER_CONV2D, DescribedCall(shape=(0, 8, 4, 1, 1)), "reference"),
        (REFERENCE_MATRIX, DescribedCall(shape=(0, 8, 4, 4)), "native"),
        (ATTEND, DescribedCall(shape=(1, 3, 8, 32, 32)), "reference"),
        (ATTEND, DescribedCall(shape=(1, 1, 8, 64, 64)), "native"),
        (ATTEND, DescribedCall(shape=(1, 4, 8, 32, 32)), "native"),
        (ATTEND, DescribedCall(shape=(1, 1, 8, 16, 16), device_type="cuda", dtype=torch.float16), "native"),
        (ATTEND, DescribedCall(shape=(1, 1, 8, 64, 64), device_type="cuda", dtype=torch.float64), "reference"),
        (ATTEND, DescribedCall(shape=(1, 1, 8, 64, 64), device_type="mps"), "reference"),
        (ATTEND, DescribedCall(shape=(0, 1, 8, 64, 64)), "reference"),
    ],
)
def test_what_is_chosen(operator: vs_ops.Operator, call: DescribedCall, chosen: str) -> None:
    assert choose(operator, call, rules=vs_ops.NO_RULES).name == chosen
