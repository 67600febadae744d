"""Properties that hold for every input, extreme ones included."""

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triton_samples import names_here
from vs_ops import INSTANCE_NORM, SPADE, WARP

CL = torch.channels_last
quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31 - 1)
sizes = st.integers(1, 9)
norms = pytest.mark.parametrize("impl", names_here(INSTANCE_NORM))
spades = pytest.mark.parametrize("impl", names_here(SPADE))
warps = pytest.mark.parametrize("impl", names_here(WARP))


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(seed=seeds, scale=st.floats(1e-3, 1e4))
@quick
def test_hinge_losses_are_what_their_formulas_say(seed: int, scale: float) -> None:
    logits = scale * noise(seed, 2, 1, 5, 7)
    real, fake, g = vs_ops.hinge_d_real(logits), vs_ops.hinge_d_fake(logits), vs_ops.hinge_g(logits)
    torch.testing.assert_close(real, vs_ops.hinge_d_fake(-logits))
    kinks = (F.relu(logits - 1) - F.relu(-logits - 1)).mean()
    torch.testing.assert_close(real - fake, 2 * g + kinks, rtol=1e-4, atol=1e-5 * (1 + scale))
    assert real + fake >= 2 - 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@given(seed=seeds)
@quick
def test_losses_do_not_overflow_where_their_inputs_do_not(dtype: torch.dtype, seed: int) -> None:
    a = (6e4 * noise(seed, 1, 2, 4, 5).sign()).to(dtype)
    mask = torch.ones(1, 1, 4, 5)
    assert vs_ops.masked_l1(a, -a, mask) == 2 * a.float().abs().mean()
    torch.testing.assert_close(vs_ops.masked_l1(a, -a, mask, reduction="valid"), 2 * a.float().abs().mean())
    assert vs_ops.feature_matching([[a]], [[-a]]) == 2 * a.float().abs().mean()
    for loss in (vs_ops.hinge_d_real, vs_ops.hinge_d_fake, vs_ops.hinge_g):
        assert loss(a).isfinite()
        assert loss(a).dtype is torch.float32


@pytest.mark.draws_shapes
@norms
@given(value=st.floats(-1e3, 1e3), height=sizes, width=sizes, channels_last=st.booleans())
@quick
def test_a_constant_channel_becomes_the_bias(
    impl: str, value: float, height: int, width: int, channels_last: bool
) -> None:
    x = torch.full((2, 3, height, width), value)
    x = (x.contiguous(memory_format=CL) if channels_last else x).requires_grad_()
    if instance_norm_refuses(impl, x):
        return
    bias = torch.tensor([-1.0, 0.0, 2.0])
    result = vs_ops.instance_norm(x, None, bias, eps=1e-2, impl=impl)
    # Rounding the mean costs some eps * |value|, which 1 / sqrt(eps) amplifies.
    torch.testing.assert_close(result, bias[:, None, None].expand_as(x), rtol=0, atol=4e-5 * (1 + abs(value)))
    result.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def instance_norm_refuses(impl: str, x: Tensor) -> bool:
    call = vs_ops.DescribedCall(dtype=x.dtype, shape=tuple(x.shape))
    return any(each.implementation.name == impl and each.reason for each in vs_ops.explain(INSTANCE_NORM, call))


@norms
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_mean_far_from_zero_costs_no_more_than_its_own_rounding(
    impl: str, channels_last: bool, dtype: torch.dtype
) -> None:
    channels = 2 if impl == "triton" else 8  # the interpreter is slow
    for mean, size in ((100.0, (32, 32)), (1000.0, (7, 9)), (-500.0, (64, 48))):
        x = (noise(1, 2, channels, *size) + mean).to(dtype)
        x = (x.contiguous(memory_format=CL) if channels_last else x).requires_grad_()
        exact = x.detach().double().requires_grad_()
        weights = noise(2, 2, channels, *size).to(dtype)
        results = [vs_ops.instance_norm(x, impl=impl), vs_ops.instance_norm(exact, impl="reference")]
        grads = [
            torch.autograd.grad(each, leaf, weights.to(each.dtype))[0]
            for each, leaf in zip(results, (x, exact), strict=True)
        ]
        eps = torch.finfo(dtype).eps
        tolerance = 4 * torch.finfo(torch.float32).eps * abs(mean) + 8 * eps
        torch.testing.assert_close(results[0].double(), results[1], rtol=eps, atol=tolerance)
        torch.testing.assert_close(grads[0].double(), grads[1], rtol=eps, atol=4 * tolerance)


@norms
def test_large_planes_keep_their_digits_in_every_memory_format(impl: str) -> None:
    x = noise(3, 1, 4, *((64, 384) if impl == "triton" else (256, 384))) + 3  # the interpreter is slow
    exact = vs_ops.instance_norm(x.double(), impl="reference")
    for each in (x, x.contiguous(memory_format=CL)):
        torch.testing.assert_close(vs_ops.instance_norm(each, impl=impl).double(), exact, rtol=0, atol=5e-6)


@norms
@given(seed=seeds, magnitude=st.sampled_from([1e-4, 1.0, 6e4]))
@quick
def test_float16_does_not_overflow_inside(impl: str, seed: int, magnitude: float) -> None:
    x = (magnitude * noise(seed, 2, 3, 6, 5).clamp(-1, 1)).half().requires_grad_()
    result = vs_ops.instance_norm(x, impl=impl)
    result.float().square().sum().backward()
    assert result.dtype is torch.float16
    assert result.abs().max() <= 30**0.5 + 0.01
    assert x.grad is not None
    assert x.grad.isfinite().all()


@norms
@given(seed=seeds, spread=st.floats(1e-6, 10.0), eps=st.sampled_from([1e-5, 1e-3, 0.1]))
@quick
def test_gradients_are_amplified_at_most_by_one_over_the_root_of_eps(
    impl: str, seed: int, spread: float, eps: float
) -> None:
    x = (spread * noise(seed, 1, 2, 5, 6)).requires_grad_()
    upstream = noise(seed + 1, 1, 2, 5, 6)
    (grad,) = torch.autograd.grad(vs_ops.instance_norm(x, eps=eps, impl=impl), x, upstream)
    assert grad.norm() <= upstream.norm() / eps**0.5 * (1 + 1e-4)


@norms
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("order", ["contiguous", "channels_last", "viewed", "expanded", "sliced"])
def test_the_gradient_does_not_depend_on_the_memory_format_of_what_arrives(
    impl: str, channels_last: bool, samples: int, order: str
) -> None:
    x = noise(4, samples, 8, 17, 24)
    upstream = noise(5, samples, 8, 17, 24)
    if order == "expanded":
        upstream = upstream[:, :1, :1].expand_as(x)
    (expected,) = torch.autograd.grad(
        vs_ops.instance_norm(leaf := x.clone().requires_grad_(), impl="reference"), leaf, upstream
    )
    if order == "sliced":
        upstream = torch.cat((upstream, upstream), 1).contiguous(memory_format=CL)[:, 8:]
    elif order in ("channels_last", "viewed"):
        upstream = upstream.contiguous(memory_format=CL)
        if order == "viewed" and samples == 1:
            upstream = upstream.view(x.shape)  # another stride for the axis of size one
    x = x.contiguous(memory_format=CL) if channels_last else x.clone()
    leaf = (x.view(x.shape) if samples == 1 else x).requires_grad_()
    (grad,) = torch.autograd.grad(vs_ops.instance_norm(leaf, impl=impl), leaf, upstream)
    torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("impl", ["native", "reference"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, CL])
def test_instance_norm_can_be_differentiated_twice(impl: str, memory_format: torch.memory_format) -> None:
    x = noise(6, 2, 3, 16, 16).double().contiguous(memory_format=memory_format)[:, :2, :4, :4].requires_grad_()
    weight, bias = noise(7, 2).double().requires_grad_(), noise(8, 2).double().requires_grad_()

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return vs_ops.instance_norm(x.contiguous(memory_format=memory_format), weight, bias, eps=1e-2, impl=impl)

    fast_mode = impl == "triton"  # random projections: the interpreter is slow
    assert torch.autograd.gradcheck(function, (x, weight, bias), fast_mode=fast_mode)
    assert torch.autograd.gradgradcheck(function, (x, weight, bias), fast_mode=fast_mode)


@pytest.mark.parametrize("order", [torch.contiguous_format, CL])
@pytest.mark.parametrize("size", [8, 64], ids=["small", "large"])
@pytest.mark.parametrize("samples", [1, 2])
def test_a_weight_in_any_strides_is_that_weight(samples: int, size: int, order: torch.memory_format) -> None:
    """The kernels read the memory of a weight as if its elements lay together."""
    x = noise(1, samples, 8, size, size).contiguous(memory_format=order).requires_grad_()
    weights = [noise(2, 8, 2)[:, 0], torch.tensor(1.5).expand(8)]
    for weight in weights:
        mine, truth = (
            torch.autograd.grad(vs_ops.instance_norm(x, weight, weight, impl=impl), x, noise(3, *x.shape))
            for impl in ("native", "reference")
        )
        torch.testing.assert_close(mine, truth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [torch.contiguous_format, CL])
@pytest.mark.parametrize(("has_weight", "has_bias"), [(False, False), (False, True), (True, False)])
def test_instance_norm_is_differentiated_twice_without_scale_or_shift(
    has_weight: bool, has_bias: bool, order: torch.memory_format
) -> None:
    x = noise(4, 1, 3, 4, 4).double().contiguous(memory_format=order).requires_grad_()
    parameters = [
        noise(5 + i, 3).double().requires_grad_() if has else None for i, has in ((0, has_weight), (1, has_bias))
    ]
    leaves = [x, *(each for each in parameters if each is not None)]
    results = []
    for impl in ("native", "reference"):
        loss = vs_ops.instance_norm(x, *parameters, eps=1e-2, impl=impl).pow(3).sum()
        grads = torch.autograd.grad(loss, leaves, create_graph=True)
        results.append(torch.autograd.grad(sum(grad.square().sum() for grad in grads), leaves, allow_unused=True))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("impl", ["native", "reference"])
@pytest.mark.parametrize("size", [8, 12, 40, 64, 72])
def test_skewed_channels_keep_their_digits(impl: str, size: int) -> None:
    """Mostly zero, far from zero, or with one pixel that is: as after a ReLU, in channels-last order and float32."""
    x = noise(6, 1, 4, size, size)
    x[:, 0] = 30 * F.relu(x[:, 0] - 1)
    x[:, 1] += 1000
    x[:, 2, 0, 0] = 1e4
    x = x.contiguous(memory_format=CL).requires_grad_()
    truth = x.detach().double().requires_grad_()
    values = vs_ops.instance_norm(x, impl=impl), vs_ops.instance_norm(truth, impl="reference")
    upstream = noise(7, *x.shape)
    grads = (
        torch.autograd.grad(values[0], x, upstream)[0],
        torch.autograd.grad(values[1], truth, upstream.double())[0],
    )
    for mine, exact in (values, grads):
        error = (mine.double() - exact).abs().amax((2, 3)) / exact.abs().amax((2, 3))
        assert error.max() < 1e-4


@pytest.mark.parametrize("orders", [(CL, torch.contiguous_format), (torch.contiguous_format, CL), (CL, CL)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [8, 32])
def test_spade_keeps_the_memory_format_of_its_features(
    channels: int, dtype: torch.dtype, orders: tuple[torch.memory_format, torch.memory_format]
) -> None:
    x = noise(8, 2, channels, 8, 8).to(dtype).contiguous(memory_format=orders[0])
    gamma_beta = noise(9, 2, 2 * channels, 8, 8).to(dtype).contiguous(memory_format=orders[1])
    for impl in ("native", "reference"):
        assert vs_ops.spade(x, [gamma_beta], negative_slope=0.2, impl=impl).is_contiguous(memory_format=orders[0])


@spades
@given(seed=seeds, count=st.integers(0, 3), slope=st.sampled_from([None, 0.0, 0.2]))
@quick
def test_spade_is_its_formula(impl: str, seed: int, count: int, slope: float | None) -> None:
    x = noise(seed, 2, 4, 5, 6)
    maps = [noise(seed + index, 2, 8, 5, 6) for index in range(count)]
    expected = vs_ops.instance_norm(x, impl="reference")
    for each in maps:
        expected = expected * (1 + each[:, :4]) + each[:, 4:]
    expected = expected if slope is None else F.leaky_relu(expected, slope)
    torch.testing.assert_close(vs_ops.spade(x, maps, negative_slope=slope, impl=impl), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.draws_shapes
@spades
@given(seed=seeds, height=st.integers(2, 5), width=st.integers(1, 5), channels_last=st.booleans())
@quick
def test_spade_up_samples_as_if_the_input_had_been(
    impl: str, seed: int, height: int, width: int, channels_last: bool
) -> None:
    order = CL if channels_last else torch.contiguous_format
    x = noise(seed, 2, 4, height, width).contiguous(memory_format=order).requires_grad_()
    maps = [noise(seed + index, 2, 8, 2 * height, 2 * width) for index in range(2)]
    maps = [each.contiguous(memory_format=order).requires_grad_() for each in maps]
    result = vs_ops.spade(x, maps, eps=1e-2, upsample=True, impl=impl)
    expected = vs_ops.spade(F.interpolate(x, scale_factor=2), maps, eps=1e-2, impl="reference")
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    assert result.is_contiguous(memory_format=order)
    upstream = noise(seed + 3, *result.shape)
    grads, expected_grads = (torch.autograd.grad(each, (x, *maps), upstream) for each in (result, expected))
    torch.testing.assert_close(grads, expected_grads, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("impl", ["native", "reference"])
def test_up_sampling_spade_can_be_differentiated_twice(impl: str) -> None:
    x, gamma_beta = noise(1, 1, 2, 3, 2).double().requires_grad_(), noise(2, 1, 4, 6, 4).double().requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda *i: vs_ops.spade(i[0], [i[1]], upsample=True, impl=impl), (x, gamma_beta)
    )


@spades
@pytest.mark.parametrize("maps", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("features", [torch.float32, torch.bfloat16, torch.float16])
def test_spade_takes_maps_of_another_dtype(impl: str, features: torch.dtype, maps: torch.dtype) -> None:
    x, gamma_beta = noise(1, 2, 4, 6, 5).to(features), noise(2, 2, 8, 6, 5).to(maps)
    result = vs_ops.spade(x, [gamma_beta], negative_slope=0.2, impl=impl)
    exact = vs_ops.spade(x.double(), [gamma_beta.double()], negative_slope=0.2, impl="reference")
    assert result.dtype is features
    coarsest = max(torch.finfo(features).eps, torch.finfo(maps).eps) if features != torch.float32 else 1e-6
    torch.testing.assert_close(result.double(), exact, rtol=0, atol=8 * coarsest)


@pytest.mark.draws_shapes
@warps
@given(seed=seeds, height=sizes, width=sizes, dx=st.integers(-4, 4), dy=st.integers(-4, 4))
@quick
def test_a_whole_flow_is_a_clamped_shift(impl: str, seed: int, height: int, width: int, dx: int, dy: int) -> None:
    image = noise(seed, 1, 2, height, width)
    flow = torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, height, width)
    rows = (torch.arange(height) + dy).clamp(0, height - 1)
    columns = (torch.arange(width) + dx).clamp(0, width - 1)
    expected = image[:, :, rows][:, :, :, columns]
    torch.testing.assert_close(vs_ops.warp(image, flow, impl=impl), expected, rtol=0, atol=2e-5)


@warps
@given(seed=seeds, scale=st.sampled_from([0.5, 3.0, 1e3, 1e6]))
@quick
def test_warped_values_stay_within_those_of_the_image(impl: str, seed: int, scale: float) -> None:
    image, flow = noise(seed, 1, 2, 6, 7), scale * noise(seed + 1, 1, 2, 6, 7)
    result = vs_ops.warp(image, flow, impl=impl)
    assert result.min() >= image.min() - 1e-5
    assert result.max() <= image.max() + 1e-5


@pytest.mark.parametrize("impl", names_here(vs_ops.WARP_AND_BLEND))
@given(seed=seeds)
@quick
def test_masks_of_zero_and_one_take_one_side(impl: str, seed: int) -> None:
    image, flow, hallucinated = noise(seed, 1, 3, 5, 6), noise(seed + 1, 1, 2, 5, 6), noise(seed + 2, 1, 3, 5, 6)
    ones = torch.ones(1, 1, 5, 6)
    assert torch.equal(vs_ops.warp_and_blend(image, flow, ones, hallucinated, impl=impl)[0], hallucinated)
    blended, warped = vs_ops.warp_and_blend(image, flow, 0 * ones, hallucinated, impl=impl)
    assert torch.equal(blended, warped)


@given(seed=seeds, rows=st.integers(1, 8), columns=st.integers(1, 8), scale=st.floats(1e-3, 1e3))
@quick
def test_power_iteration_finds_the_largest_singular_value(seed: int, rows: int, columns: int, scale: float) -> None:
    weight = scale * (noise(seed, rows, columns) + 3 * torch.outer(noise(seed + 1, rows), noise(seed + 2, columns)))
    u, v = F.normalize(noise(seed + 3, rows), dim=0), torch.zeros(columns)
    for _ in range(300):
        u, v = vs_ops.power_iteration(weight, u, v)
    result = vs_ops.spectral_normalize(weight, u, v)
    torch.testing.assert_close(torch.linalg.svdvals(result)[0], torch.tensor(1.0), rtol=1e-2, atol=0)
    torch.testing.assert_close(vs_ops.spectral_normalize(7 * weight, u, v), result, rtol=1e-4, atol=1e-6)
    assert not u.requires_grad


@pytest.mark.parametrize("impl", [each.name for each in vs_ops.SPECTRAL_NORMALIZE.implementations])
def test_the_vectors_may_be_overwritten_before_backward_and_count_as_constants(impl: str) -> None:
    weight = noise(1, 4, 3, 2, 2).requires_grad_()
    u, v = noise(2, 4), noise(3, 12)
    before = vs_ops.spectral_normalize(weight, u, v, impl=impl)
    upstream = noise(4, 4, 3, 2, 2)
    sigma = u @ weight.detach().flatten(1) @ v
    overlap = (upstream * weight.detach()).sum() / sigma**2
    expected = upstream / sigma - (overlap * torch.outer(u, v)).view_as(weight)
    u.normal_()
    v.zero_()
    before.backward(upstream)
    torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-5)


def test_spectral_normalisation_can_be_differentiated_twice() -> None:
    weight, u, v = noise(1, 3, 2, 2, 2).double().requires_grad_(), noise(2, 3).double(), noise(3, 8).double()
    assert torch.autograd.gradgradcheck(lambda w: vs_ops.spectral_normalize(w, u, v), (weight,))


def test_a_zero_weight_iterates_to_zero_vectors_not_to_nan() -> None:
    u, v = vs_ops.power_iteration(torch.zeros(3, 4), torch.ones(3), torch.ones(4))
    assert not u.any()
    assert not v.any()


@given(seed=seeds, share=st.floats(0, 1))
@quick
def test_masked_l1_over_valid_is_a_weighted_mean(seed: int, share: float) -> None:
    a, b = noise(seed, 2, 3, 4, 5), noise(seed + 1, 2, 3, 4, 5)
    mask = (torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(seed)) < share).float()
    kept = (a - b).abs()[mask.expand_as(a) > 0]
    expected = kept.mean() if kept.numel() else torch.tensor(0.0)
    torch.testing.assert_close(vs_ops.masked_l1(a, b, mask, reduction="valid"), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(vs_ops.masked_l1(a, b, mask), kept.sum() / a.numel(), rtol=1e-4, atol=1e-6)
