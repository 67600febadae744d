"""What holds of the convolutions that do not make what they convolve: of class ids, of up-sampled features.

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
from triton_samples import names_here
from vs_ops import LABEL_CONV2D, UPSAMPLE_CONV2D, DescribedCall, choose

CL = torch.channels_last
quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31 - 1)
orders = st.sampled_from([torch.contiguous_format, CL])
LABELS = {each.name: each.function for each in LABEL_CONV2D.implementations if each.name in names_here(LABEL_CONV2D)}
labels = pytest.mark.parametrize("function", LABELS.values(), ids=LABELS)
INTEGERS = (torch.uint8, torch.int16, torch.int32, torch.int64, torch.uint16)
UPSAMPLED = {each.name: each.function for each in UPSAMPLE_CONV2D.implementations}
upsampled = pytest.mark.parametrize("function", UPSAMPLED.values(), ids=UPSAMPLED)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_ids(seed: int, *shape: int, below: int, dtype: torch.dtype = torch.int64, ignored: int = 200) -> Tensor:
    ids = torch.randint(-1, below, shape, generator=torch.Generator().manual_seed(seed))
    return ids.where(ids >= 0, ignored).to(dtype)


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest tensor has that any operator returns, in backward too."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in (result if isinstance(result, tuple) else (result,)) if isinstance(each, Tensor)]
        self.size = max([self.size, *(each.numel() for each in tensors)])
        return result


@pytest.mark.parametrize(
    ("function", "dtype"),
    [pytest.param(function, dtype, id=f"{name}-{dtype}") for name, function in LABELS.items() for dtype in INTEGERS],
)
@given(
    seed=seeds,
    classes=st.integers(1, 40),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    data=st.data(),
    order=orders,
    dont_care=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_a_label_convolution_is_that_of_the_one_hot_map(
    function: Callable[..., Tensor],
    dtype: torch.dtype,
    seed: int,
    classes: int,
    kernel: int,
    stride: int,
    data: st.DataObject,
    order: torch.memory_format,
    dont_care: bool,
) -> None:
    padding = data.draw(st.integers(0, kernel - 1))
    ids = random_ids(seed, 2, 7, 6, below=classes, dtype=dtype)
    weight = noise(seed, 3, classes + dont_care, kernel, kernel).contiguous(memory_format=order).requires_grad_()
    bias = noise(seed + 1, 3).requires_grad_() if data.draw(st.booleans()) else None
    leaves = [weight] if bias is None else [weight, bias]
    maps = vs_ops.one_hot(ids, classes, dont_care=dont_care, ignore_id=200)
    expected = F.conv2d(maps, weight, bias, stride, padding)
    result = function(ids, weight, bias, dont_care, 200, stride, padding)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    upstream = noise(seed + 2, *result.shape)
    grads, expected_grads = (torch.autograd.grad(each, leaves, upstream) for each in (result, expected))
    torch.testing.assert_close(grads, expected_grads, rtol=1e-4, atol=1e-4)
    if kernel > 1 and classes + dont_care > 1:
        assert result.is_contiguous(memory_format=order)


@labels
def test_a_label_convolution_can_be_differentiated_twice(function: Callable[..., Tensor]) -> None:
    ids = random_ids(1, 2, 4, 3, below=3)
    weight, bias = noise(2, 2, 3, 3, 3).double().requires_grad_(), noise(3, 2).double().requires_grad_()
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda *leaves: function(ids, *leaves, False, 200, 2, 1), (weight, bias))


@labels
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_under_autocast_a_label_convolution_computes_in_its_dtype(
    function: Callable[..., Tensor], stored: torch.dtype
) -> None:
    ids = random_ids(1, 2, 6, 5, below=20)
    weight = noise(2, 4, 20, 3, 3).to(stored).requires_grad_()
    bias = noise(3, 4).requires_grad_()
    exact = F.conv2d(
        vs_ops.one_hot(ids, 20, ignore_id=200).double(), weight.detach().bfloat16().double(), bias.bfloat16().double()
    )
    with torch.autocast("cpu", torch.bfloat16):
        result = function(ids, weight, bias, False, 200, 1, 0)
    assert result.dtype is torch.bfloat16
    torch.testing.assert_close(result.double(), exact, rtol=2**-8, atol=2**-8)  # rounded once
    grads = torch.autograd.grad(result.sum(), (weight, bias))
    assert [each.dtype for each in grads] == [stored, torch.float32]


def test_only_the_reference_makes_the_one_hot_map() -> None:
    ids, weight = random_ids(1, 1, 64, 64, below=35), noise(2, 8, 35, 3, 3).requires_grad_()
    for impl in LABELS:
        makes = impl == "reference"
        with Largest() as largest:
            LABELS[impl](ids, weight, None, False, 200, 1, 1).sum().backward()
        assert (largest.size >= 35 * ids.numel()) is makes
        assert makes or largest.size <= 10 * ids.numel()


def test_the_gradient_of_many_pixels_keeps_its_digits() -> None:
    """A quarter of a million pixels of two classes, each with a gradient of a tenth, which no float represents."""
    ids = torch.zeros(1, 512, 512, dtype=torch.uint8)
    ids[:, 256:] = 19
    weight, bias = torch.zeros(1, 20, 3, 3).requires_grad_(), torch.zeros(1).requires_grad_()
    result = vs_ops.label_conv2d(ids, weight, bias, padding=1, impl="native")
    grad, grad_bias = torch.autograd.grad(result, (weight, bias), torch.full_like(result, 0.1))
    assert abs(grad_bias.item() / (0.1 * 512 * 512) - 1) < 1e-6
    assert abs(grad[0, 0, 1, 1].item() / (0.1 * 256 * 512) - 1) < 1e-5
    assert abs(grad[0, 19, 0, 0].item() / (0.1 * 255 * 511) - 1) < 1e-5


@pytest.mark.parametrize(
    ("call", "chosen"),
    [
        (DescribedCall(shape=(8, 35, 3, 3)), "native"),
        (DescribedCall(shape=(8, 12, 3, 3)), "reference"),
        (DescribedCall(shape=(8, 12, 3, 3), device_type="cuda"), "native"),
        (DescribedCall(shape=(8, 35, 1, 1)), "reference"),
        (DescribedCall(shape=(8, 35, 3, 3), device_type="mps"), "reference"),
        (DescribedCall(shape=(8, 35, 3, 3), dtype=torch.float8_e4m3fn), "reference"),
        (DescribedCall(shape=(0, 35, 3, 3)), "reference"),
    ],
)
def test_which_label_convolution_is_chosen(call: DescribedCall, chosen: str) -> None:
    assert choose(LABEL_CONV2D, call, rules=vs_ops.NO_RULES).name == chosen


@upsampled
@given(
    seed=seeds,
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    kernel=st.sampled_from([1, 3, 5, 7]),
    order=orders,
    weight_order=orders,
    with_bias=st.booleans(),
)
@quick
def test_an_up_sampling_convolution_is_what_its_name_says(
    function: Callable[..., Tensor],
    seed: int,
    size: tuple[int, int],
    kernel: int,
    order: torch.memory_format,
    weight_order: torch.memory_format,
    with_bias: bool,
) -> None:
    x = noise(seed, 2, 3, *size).contiguous(memory_format=order).requires_grad_()
    weight = noise(seed + 1, 4, 3, kernel, kernel).contiguous(memory_format=weight_order).requires_grad_()
    bias = noise(seed + 2, 4).requires_grad_() if with_bias else None
    leaves = [x, weight, *([] if bias is None else [bias])]
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = F.conv2d(large, weight, bias, padding=kernel // 2)
    result = function(x, weight, bias)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    if size != (1, 1):
        assert result.is_contiguous(memory_format=order)
    upstream = noise(seed + 3, *result.shape)
    grads, expected_grads = (torch.autograd.grad(each, leaves, upstream) for each in (result, expected))
    torch.testing.assert_close(grads, expected_grads, rtol=1e-4, atol=1e-3)


@upsampled
@pytest.mark.parametrize("kernel", [1, 3])
def test_an_up_sampling_convolution_can_be_differentiated_twice(function: Callable[..., Tensor], kernel: int) -> None:
    leaves = [noise(1, 1, 2, 3, 2), noise(2, 2, 2, kernel, kernel), noise(3, 2)]
    leaves = [each.double().requires_grad_() for each in leaves]
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@upsampled
@pytest.mark.parametrize("kernel", [1, 3])
def test_under_autocast_an_up_sampling_convolution_computes_in_its_dtype(
    function: Callable[..., Tensor], kernel: int
) -> None:
    x, weight = noise(1, 2, 4, 6, 5).contiguous(memory_format=CL).requires_grad_(), noise(2, 3, 4, kernel, kernel)
    weight, bias = weight.requires_grad_(), noise(3, 3).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        result = function(x, weight, bias)
    assert result.dtype is torch.bfloat16
    assert result.is_contiguous(memory_format=CL)
    exact = UPSAMPLED["reference"](*(each.detach().double() for each in (x, weight, bias)))
    torch.testing.assert_close(result.double(), exact, rtol=2**-6, atol=2**-4)
    grads = torch.autograd.grad(result.float().square().sum(), (x, weight, bias))
    assert [each.dtype for each in grads] == [torch.float32] * 3


def test_sums_of_weights_are_rounded_once() -> None:
    """Four weights add up to one, which bfloat16 has, and three of them to what it has not."""
    weight = torch.tensor([[1 / 3, 1 / 3, 1 / 3]] * 3).view(1, 1, 3, 3) / 3
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    with torch.autocast("cpu", torch.bfloat16):
        result = UPSAMPLED["native"](x, weight, None)
    box = torch.tensor([1.0, 2.0, 2.0, 1.0])
    assert torch.equal(result[0, 0, 3:7, 3:7], (torch.outer(box, box) / 9).bfloat16())
    assert result.float().sum() == result[0, 0, 3:7, 3:7].float().sum()


def test_inference_first_does_not_spoil_training() -> None:
    x, weight = noise(1, 1, 2, 4, 4), noise(2, 3, 2, 9, 9).requires_grad_()  # a size that no other test has
    with torch.inference_mode():
        UPSAMPLED["native"](x, weight, None)
    assert torch.autograd.grad(UPSAMPLED["native"](x, weight, None).sum(), weight)[0].isfinite().all()


@pytest.mark.parametrize(
    ("call", "chosen"),
    [
        (DescribedCall(shape=(1, 32, 64, 128)), "native"),
        (DescribedCall(shape=(1, 32, 8, 16)), "reference"),
        (DescribedCall(shape=(4, 32, 8, 16)), "native"),
        (DescribedCall(shape=(1, 32, 8, 16), device_type="cuda"), "native"),
        (DescribedCall(shape=(0, 32, 64, 64)), "reference"),
        (DescribedCall(shape=(1, 32, 64, 64), dtype=torch.float8_e4m3fn), "reference"),
    ],
)
def test_which_up_sampling_convolution_is_chosen(call: DescribedCall, chosen: str) -> None:
    assert choose(UPSAMPLE_CONV2D, call, rules=vs_ops.NO_RULES).name == chosen


@labels
@pytest.mark.parametrize("dtype", INTEGERS[:4])
def test_ids_may_be_written_over_before_the_backward_pass(function: Callable[..., Any], dtype: torch.dtype) -> None:
    ids = random_ids(1, 1, 8, 8, below=20, dtype=dtype, ignored=3)
    weight = noise(2, 4, 20, 3, 3).requires_grad_()
    (expected,) = torch.autograd.grad(function(ids, weight, None, False, 200, 1, 1).sum(), weight)
    result = function(ids, weight, None, False, 200, 1, 1)
    ids.zero_()
    torch.testing.assert_close(torch.autograd.grad(result.sum(), weight)[0], expected)
    with torch.inference_mode():
        ids = random_ids(1, 1, 8, 8, below=20, dtype=dtype, ignored=3)
    function(ids, weight, None, False, 200, 1, 1).sum().backward()
    torch.testing.assert_close(weight.grad, expected)
