"""What the docstrings promise beside numbers: dtypes, memory formats, autocast, class ids, errors with their facts."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triton_samples import names_here
from vs_ops.dispatch import IMPLEMENTATION_NAMES

CL = torch.channels_last
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32)
# Which autocast is for.
CONVOLUTIONS = (vs_ops.HYPER_CONV2D, vs_ops.LABEL_CONV2D, vs_ops.SPECTRAL_CONV2D, vs_ops.UPSAMPLE_CONV2D)
ISLANDS = [
    (operator, name)
    for operator in vs_ops.OPERATORS
    for name in names_here(operator)
    if operator not in (*CONVOLUTIONS, vs_ops.EMA)  # which returns nothing: its own tests see to it
]


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("impl", IMPLEMENTATION_NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, CL])
def test_images_keep_dtype_and_memory_format(impl: str, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    def having(operator: vs_ops.Operator) -> list[str]:
        return [impl] if impl in names_here(operator) else []

    x = image(2, 4, 6, 5).to(dtype).contiguous(memory_format=memory_format)
    maps = [image(2, 8, 6, 5).to(dtype).contiguous(memory_format=memory_format)]
    flow, mask = image(2, 2, 6, 5), image(2, 1, 6, 5).sigmoid()
    results = [vs_ops.instance_norm(x, impl=impl) for impl in having(vs_ops.INSTANCE_NORM)]
    results += [vs_ops.spade(x, maps, negative_slope=0.2, impl=impl) for impl in having(vs_ops.SPADE)]
    results += [vs_ops.warp(x, flow, impl=impl) for impl in having(vs_ops.WARP)]
    for impl in having(vs_ops.WARP_AND_BLEND):
        results += vs_ops.warp_and_blend(x, flow, mask, x, impl=impl)
    results += [vs_ops.gelu(x, impl=impl) for impl in having(vs_ops.GELU)]
    weight, bias, keys = image(2, 3, 4, 1, 1).to(dtype), image(2, 3).to(dtype), image(2, 3, 4, 6, 5).to(dtype)
    results += [vs_ops.hyper_conv2d(x, weight, bias, impl=impl) for impl in having(vs_ops.HYPER_CONV2D)]
    merged, reference_weights = vs_ops.attend(x, keys, keys)
    assert reference_weights.dtype is torch.promote_types(dtype, torch.float32)
    results += [merged, reference_weights.to(dtype)]
    assert {each.dtype for each in results} == {dtype}
    assert all(each.is_contiguous(memory_format=memory_format) for each in results)


@pytest.mark.parametrize(("dtype", "expected"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_losses_are_scalars_of_at_least_float32(dtype: torch.dtype, expected: torch.dtype) -> None:
    a, b, mask = image(2, 3, 4, 5).to(dtype), image(2, 3, 4, 5, seed=1).to(dtype), image(2, 1, 4, 5).sigmoid()
    losses = [vs_ops.masked_l1(a, b, mask), vs_ops.mask_loss(mask, a, b), vs_ops.feature_matching([[a]], [[b]])]
    losses += [loss(a) for loss in (vs_ops.hinge_d_real, vs_ops.hinge_d_fake, vs_ops.hinge_g)]
    assert all(each.shape == () and each.dtype is expected for each in losses)


@pytest.mark.parametrize(("operator", "impl"), ISLANDS, ids=lambda value: getattr(value, "name", value))
def test_autocast_changes_nothing(ops: SimpleNamespace, operator: vs_ops.Operator, impl: str) -> None:
    x, y, flow = image(2, 4, 6, 5), image(2, 4, 6, 5, seed=1), image(2, 2, 6, 5)
    mask, maps = image(2, 1, 6, 5).sigmoid(), [image(2, 8, 6, 5)]
    arguments = {
        "power_iteration": (image(16, 36), image(16), image(36)),
        "spectral_normalize": (image(16, 4, 3, 3), image(16), image(36)),
        "singular_values": ([image(16, 4, 3, 3)], [image(16)], [image(36)]),
        "spectral_normalize_all": ([image(16, 4, 3, 3)], [image(16)], [image(36)]),
        "instance_norm": (x,),
        "spade": (x, maps),
        "warp": (x, flow),
        "warp_and_blend": (x, flow, mask, y),
        "masked_l1": (x, y, mask),
        "mask_loss": (mask, x, x + 0.1 * y),
        "feature_matching": ([[x]], [[y]]),
        "one_hot": (torch.randint(0, 4, (2, 6, 5)), 4),
        "reference_matrix": (x, y),
        "attend": (image(1, 4, 46, 46), image(1, 2, 4, 46, 46, seed=1), image(1, 2, 3, 46, 46, seed=2)),
    }.get(operator.name, (x,))
    function = getattr(ops, operator.name)
    outside = function(*arguments, impl=impl)
    with torch.autocast("cpu", torch.bfloat16):
        inside = function(*arguments, impl=impl)
    torch.testing.assert_close(inside, outside, rtol=1e-6, atol=1e-6)


def test_the_real_side_of_feature_matching_gets_no_gradient() -> None:
    fake, real = image(1, 2, 3, 3).requires_grad_(), image(1, 2, 3, 3, seed=1).requires_grad_()
    vs_ops.feature_matching([[fake]], [[real]]).backward()
    assert fake.grad is not None
    assert real.grad is None


def test_feature_matching_sums_layers_and_averages_scales() -> None:
    one, two = torch.ones(1, 2, 4, 4), torch.full((1, 2, 2, 2), 3.0)
    fake, real = [[one, two], [two]], [[0 * one, 0 * two], [0 * two]]
    assert vs_ops.feature_matching(fake, real) == ((1 + 3) + 3) / 2


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("impl", ["auto", *(name for name in names_here(vs_ops.ONE_HOT) if name != "inductor")])
@given(data=st.data(), dont_care=st.booleans())
@settings(max_examples=15, deadline=None)
def test_one_hot_inverts(impl: str, dtype: torch.dtype, data: st.DataObject, dont_care: bool) -> None:
    classes = data.draw(st.integers(1, 40))
    ignore_id = data.draw(st.sampled_from([100, classes - 1, 0]))
    values = data.draw(st.lists(st.sampled_from([*range(classes), ignore_id]), min_size=6, max_size=6))
    ids = torch.tensor(values, dtype=torch.int64).view(1, 2, 3)
    options: dict[str, Any] = {"dont_care": dont_care, "ignore_id": ignore_id, "dtype": torch.bfloat16}
    result = vs_ops.one_hot(ids.to(dtype), classes, impl=impl, **options)
    assert result.shape == (1, classes + dont_care, 2, 3)
    assert result.dtype is torch.bfloat16
    ignored = ids == ignore_id
    assert torch.equal(result.sum(1), (~ignored | dont_care).to(torch.bfloat16))
    assert torch.equal(result.argmax(1)[~ignored], ids[~ignored])
    assert not dont_care or torch.equal(result[:, -1], ignored.to(torch.bfloat16))


@pytest.mark.parametrize(
    ("value", "dtype"), [(8, torch.uint8), (254, torch.uint8), (-1, torch.int64), (300, torch.int32)]
)
def test_a_wrong_class_id_is_named_with_its_place(value: int, dtype: torch.dtype) -> None:
    ids = torch.zeros(2, 4, 5, dtype=dtype)
    ids[0, 0, 0] = 255 if dtype is torch.uint8 else 7
    ids[1, 2, 3] = value
    weight = image(2, 8, 3, 3)
    for mistake in (lambda: vs_ops.one_hot(ids, 8), lambda: vs_ops.label_conv2d(ids, weight, padding=1)):
        with pytest.raises(vs_ops.ClassIdError, match=rf"class id {value} at .* = \(1, 2, 3\)") as caught:
            mistake()
        assert (caught.value.value, caught.value.position) == (value, (1, 2, 3))


X, FLOW, MASK = image(2, 4, 6, 5), image(2, 2, 6, 5), image(2, 1, 6, 5)
WEIGHT, KEYS = image(2, 3, 4, 3, 3), image(2, 3, 4, 6, 5)
IDS, KERNEL = torch.zeros(2, 6, 5, dtype=torch.int64), WEIGHT[0]
MISTAKES: dict[str, Callable[[], object]] = {
    r"weight \(3,\)": lambda: vs_ops.instance_norm(X, torch.ones(3)),
    r"bias \(5,\)": lambda: vs_ops.instance_norm(X, None, torch.ones(5)),
    r"x \(2, 4\)": lambda: vs_ops.instance_norm(X[:, :, 0, 0]),
    "eps must be positive, got 0": lambda: vs_ops.instance_norm(X, eps=0),
    r"gamma_betas\[1\].*gamma_beta \(2, 4, 6, 5\)": lambda: vs_ops.spade(X, [torch.cat((X, X), 1), X]),
    r"twice the size of x; got x \(2, 4, 6, 5\), gamma_beta \(2, 8, 6, 5\)": lambda: vs_ops.spade(
        X, [torch.cat((X, X), 1)], upsample=True
    ),
    "negative_slope": lambda: vs_ops.spade(X, [], negative_slope=-1.0),
    "eps must": lambda: vs_ops.spade(X, [], eps=-1.0),
    r"x \(4, 6, 5\)": lambda: vs_ops.spade(X[0], []),
    r"flow \(2, 4, 6, 5\)": lambda: vs_ops.warp(X, X),
    r"image \(4, 6, 5\)": lambda: vs_ops.warp(X[0], FLOW),
    r"mask \(2, 4, 6, 5\)": lambda: vs_ops.warp_and_blend(X, FLOW, X, X),
    r"hallucinated \(2, 1, 6, 5\)": lambda: vs_ops.warp_and_blend(X, FLOW, MASK, MASK),
    r"a \(2, 4, 6, 5\), b \(2, 2, 6, 5\)": lambda: vs_ops.masked_l1(X, FLOW, MASK),
    r"mask \(2, 2, 6, 5\)": lambda: vs_ops.masked_l1(X, X, FLOW),
    "'all' or 'valid', got 'sum'": lambda: vs_ops.masked_l1(X, X, MASK, reduction="sum"),  # type: ignore[arg-type]
    r"scale 0, layer 1 differ; got fake \(2, 4, 6, 5\), real \(2, 2, 6, 5\)": lambda: vs_ops.feature_matching(
        [[X, X]], [[X, FLOW]]
    ),
    r"\[1\] and \[2\]": lambda: vs_ops.feature_matching([[X]], [[X, X]]),
    "one or more scales": lambda: vs_ops.feature_matching([], []),
    r"u \(3,\)": lambda: vs_ops.power_iteration(image(4, 5), image(3), image(5)),
    r"v \(4,\)": lambda: vs_ops.spectral_normalize(image(4, 5, 1), image(4), image(4)),
    r"singular_values: expected lists of one length, got 1 weights, 2 us and 1 vs": lambda: vs_ops.singular_values(
        [image(4, 5)], [image(4), image(4)], [image(5)]
    ),
    r"1 weights, 1 us and 0 vs": lambda: vs_ops.spectral_normalize_all([image(4, 5)], [image(4)], []),
    r"number 1: .* u \(3,\)": lambda: vs_ops.spectral_normalize_all(
        [image(4, 5), image(4, 5)], [image(4), image(3)], [image(5), image(5)]
    ),
    "iterations must not be negative, got -1": lambda: vs_ops.spectral_normalize_all([], [], [], iterations=-1),
    "floating dtype, got torch.int64": lambda: vs_ops.spectral_normalize_all([], [], [], dtype=torch.int64),
    r"ids \(6, 5\)": lambda: vs_ops.one_hot(torch.zeros(6, 5, dtype=torch.int64), 3),
    "ids must be an integer dtype, got torch.float32": lambda: vs_ops.one_hot(X[0], 3),
    "num_classes": lambda: vs_ops.one_hot(torch.zeros(1, 6, 5, dtype=torch.int64), 0),
    r"C_in, H, W\); got x \(2, 24, 5\)": lambda: vs_ops.hyper_conv2d(X.flatten(1, 2), WEIGHT),
    r"x \(2, 4, 6, 5\), weight \(3, 4, 3, 3\)": lambda: vs_ops.hyper_conv2d(X, WEIGHT[0]),
    r"x \(2, 2, 6, 5\), weight \(2, 3, 4, 3, 3\)": lambda: vs_ops.hyper_conv2d(FLOW, WEIGHT),
    r"weight \(2, 3, 4, 3, 2\)": lambda: vs_ops.hyper_conv2d(X, WEIGHT[..., :2]),
    r"bias \(3,\)": lambda: vs_ops.hyper_conv2d(X, WEIGHT, torch.ones(3)),
    r"larger than x with padding 0; got x \(2, 4, 2, 5\)": lambda: vs_ops.hyper_conv2d(X[:, :, :2], WEIGHT),
    "stride must be positive, got 0": lambda: vs_ops.hyper_conv2d(X, WEIGHT, stride=0),
    "padding must not be negative, got -1": lambda: vs_ops.hyper_conv2d(X, WEIGHT, padding=-1),
    "weight must be torch.float32 as x, got torch.float64": lambda: vs_ops.hyper_conv2d(X, WEIGHT.double()),
    "bias must be torch.float32 as x, got torch.float16": lambda: vs_ops.hyper_conv2d(
        X, WEIGHT, torch.ones(2, 3).half()
    ),
    r"reference_matrix: .* got image \(4, 6, 5\)": lambda: vs_ops.reference_matrix(X[0], X),
    r"label \(2, 4, 6, 4\)": lambda: vs_ops.reference_matrix(X, X[..., :4]),
    r"query \(4, 6, 5\)": lambda: vs_ops.attend(X[0], KEYS, KEYS),
    r"query \(2, 2, 6, 5\), keys \(2, 3, 4, 6, 5\)": lambda: vs_ops.attend(FLOW, KEYS, KEYS),
    r"K of at least 1; got query \(2, 4, 6, 5\), keys \(2, 0, 4, 6, 5\)": lambda: vs_ops.attend(
        X, KEYS[:, :0], KEYS[:, :0]
    ),
    r"label_conv2d: .* got ids \(6, 5\)": lambda: vs_ops.label_conv2d(IDS[0], KERNEL),
    "label_conv2d: ids must be an integer dtype, got torch.float32": lambda: vs_ops.label_conv2d(MASK[:, 0], KERNEL),
    r"weight \(3, 4, 3, 2\)": lambda: vs_ops.label_conv2d(IDS, KERNEL[..., :2]),
    r"one channel more; got weight \(3, 1, 3, 3\)": lambda: vs_ops.label_conv2d(IDS, KERNEL[:, :1], dont_care=True),
    r"weight \(3, 4, 3, 3\), bias \(2,\)": lambda: vs_ops.label_conv2d(IDS, KERNEL, torch.ones(2)),
    "label_conv2d: bias must be torch.float32 as weight": lambda: vs_ops.label_conv2d(
        IDS, KERNEL, torch.ones(3).half()
    ),
    r"padding must be in \[0, 3\), got 3": lambda: vs_ops.label_conv2d(IDS, KERNEL, padding=3),
    "label_conv2d: stride must be positive, got 0": lambda: vs_ops.label_conv2d(IDS, KERNEL, stride=0),
    r"larger than ids with padding 0; got ids \(2, 6, 2\)": lambda: vs_ops.label_conv2d(IDS[..., :2], KERNEL),
    r"upsample_conv2d: .* got x \(4, 6, 5\)": lambda: vs_ops.upsample_conv2d(X[0], KERNEL),
    r"got x \(2, 2, 6, 5\), weight \(3, 4, 3, 3\)": lambda: vs_ops.upsample_conv2d(FLOW, KERNEL),
    r"must be odd; got weight \(3, 4, 2, 2\)": lambda: vs_ops.upsample_conv2d(X, KERNEL[..., :2, :2]),
    r"upsample_conv2d: bias .* bias \(2,\)": lambda: vs_ops.upsample_conv2d(X, KERNEL, torch.ones(2)),
    "upsample_conv2d: weight must be torch.float32 as x": lambda: vs_ops.upsample_conv2d(X, KERNEL.bfloat16()),
    r"mask_loss: .* warped \(2, 4, 6, 5\), frame \(2, 2, 6, 5\)": lambda: vs_ops.mask_loss(MASK, X, FLOW),
    r"mask_loss: .* mask \(2, 2, 6, 5\)": lambda: vs_ops.mask_loss(FLOW, X, X),
    r"mask_loss: .* warped \(4, 6, 5\)": lambda: vs_ops.mask_loss(MASK, X[0], X[0]),
    "2 averages, 1 values": lambda: vs_ops.ema([X, X], [X], weight=0.5),
    "1 averages, 1 values, 2 scales": lambda: vs_ops.ema([X], [X], weight=0.5, scales=[X.sum(), X.sum()]),
    r"weight must be in \[0, 1\], got 1.5": lambda: vs_ops.ema([X], [X], weight=1.5),
    r"averages\[1\] .* average \(2, 4, 6, 5\), value \(2, 2, 6, 5\)": lambda: vs_ops.ema([X, X], [X, FLOW], weight=0.5),
    r"scales\[0\] must be a scalar; got scale \(3,\)": lambda: vs_ops.ema([X], [X], weight=0.5, scales=[torch.ones(3)]),
    r"averages\[0\] must be float32 or float64, got torch.bfloat16": lambda: vs_ops.ema(
        [X.bfloat16()], [X], weight=0.5
    ),
    r"values\[0\] must be of a floating dtype": lambda: vs_ops.ema([MASK[:, 0]], [IDS], weight=0.5),
    "gelu: x must be a floating dtype, got torch.int64": lambda: vs_ops.gelu(torch.zeros(2, dtype=torch.int64)),
    r"values \(2, 2, 4, 6, 5\)": lambda: vs_ops.attend(X, KEYS, KEYS[:, :2]),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_every_mistake_is_a_value_error_with_the_shapes_in_it(message: str) -> None:
    with pytest.raises(vs_ops.VsOpsError, match=message):
        MISTAKES[message]()
