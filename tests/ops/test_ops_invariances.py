"""What must not change, or change with its input, whatever the input is: for every implementation of every operator."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triton_samples import names_here
from vs_ops import Operator

CL = torch.channels_last
quick = settings(max_examples=8, deadline=None)
seeds = st.integers(0, 2**31 - 1)
sizes = st.integers(1, 9)
formats = st.sampled_from([torch.contiguous_format, CL])
powers = st.integers(-12, 12).map(lambda exponent: 2.0**exponent)


def each_of(operator: Operator) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("impl", names_here(operator))


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def refuses(operator: Operator, impl: str, tensor: Tensor) -> bool:
    call = vs_ops.DescribedCall(dtype=tensor.dtype, shape=tuple(tensor.shape))
    return any(each.implementation.name == impl and each.reason is not None for each in vs_ops.explain(operator, call))


@pytest.mark.draws_shapes
@each_of(vs_ops.INSTANCE_NORM)
@given(seed=seeds, height=sizes, width=sizes, scale=powers, shift=st.floats(-8, 8, width=16), order=formats)
@quick
def test_scale_and_shift_of_the_input_do_not_reach_through_instance_norm(
    impl: str, seed: int, height: int, width: int, scale: float, shift: float, order: torch.memory_format
) -> None:
    """With eps scaled like a variance this is exact but for roundings, of which the shift adds some to the input."""
    x = noise(seed, 2, 3, height, width).contiguous(memory_format=order)
    if refuses(vs_ops.INSTANCE_NORM, impl, x):
        return
    expected = vs_ops.instance_norm(x, eps=1e-2, impl=impl)
    scaled = vs_ops.instance_norm(scale * x, eps=1e-2 * scale**2, impl=impl)
    torch.testing.assert_close(scaled, expected, rtol=1e-5, atol=1e-5)
    moved = vs_ops.instance_norm(-x + shift, eps=1e-2, impl=impl)
    torch.testing.assert_close(moved, -expected, rtol=1e-4, atol=1e-4)


@each_of(vs_ops.INSTANCE_NORM)
@given(seed=seeds, order=formats)
@quick
def test_the_gradient_of_instance_norm_is_orthogonal_to_what_changes_nothing(
    impl: str, seed: int, order: torch.memory_format
) -> None:
    x = noise(seed, 2, 4, 6, 5).contiguous(memory_format=order).requires_grad_()
    result = vs_ops.instance_norm(x, eps=1e-12, impl=impl)
    (grad,) = torch.autograd.grad(result, x, noise(seed + 1, 2, 4, 6, 5))
    torch.testing.assert_close(grad.sum((2, 3)), torch.zeros(2, 4), rtol=0, atol=1e-4)
    torch.testing.assert_close((grad * x).sum((2, 3)), torch.zeros(2, 4), rtol=0, atol=1e-4)


@pytest.mark.draws_shapes
@each_of(vs_ops.SPADE)
@given(seed=seeds, height=sizes, width=sizes, maps=st.integers(0, 2), slope=st.sampled_from([0.0, 0.2]), order=formats)
@quick
def test_spade_with_maps_of_zeros_is_instance_norm_and_leaky_relu(
    impl: str, seed: int, height: int, width: int, maps: int, slope: float, order: torch.memory_format
) -> None:
    x = noise(seed, 2, 3, height, width).contiguous(memory_format=order)
    if refuses(vs_ops.SPADE, impl, x):
        return
    zeros = [torch.zeros(2, 6, height, width).contiguous(memory_format=order)] * maps
    same = impl in (each.name for each in vs_ops.INSTANCE_NORM.implementations)
    normal = vs_ops.instance_norm(x, impl=impl if same else "reference")
    result = vs_ops.spade(x, zeros, negative_slope=slope, impl=impl)
    assert torch.equal(result, F.leaky_relu(normal, slope))


@each_of(vs_ops.SPADE)
@given(seed=seeds, order=formats, upsample=st.booleans())
@quick
def test_samples_and_channels_of_spade_do_not_know_of_each_other(
    impl: str, seed: int, order: torch.memory_format, upsample: bool
) -> None:
    size = (6, 4) if upsample else (3, 2)
    x = noise(seed, 2, 4, 3, 2).contiguous(memory_format=order)
    gamma, beta = noise(seed + 1, 2, 4, *size), noise(seed + 2, 2, 4, *size)
    generator = torch.Generator().manual_seed(seed)
    samples, channels = torch.randperm(2, generator=generator), torch.randperm(4, generator=generator)

    def shade(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        maps = torch.cat((gamma, beta), 1).contiguous(memory_format=order)
        x = x.contiguous(memory_format=order)
        return vs_ops.spade(x, [maps], negative_slope=0.2, upsample=upsample, impl=impl)

    moved = shade(*(each[samples][:, channels] for each in (x, gamma, beta)))
    torch.testing.assert_close(moved, shade(x, gamma, beta)[samples][:, channels], rtol=1e-5, atol=1e-5)


@pytest.mark.draws_shapes
@each_of(vs_ops.WARP)
@given(seed=seeds, height=sizes, width=sizes, order=formats)
@quick
def test_no_flow_is_the_identity(impl: str, seed: int, height: int, width: int, order: torch.memory_format) -> None:
    image = noise(seed, 2, 3, height, width).contiguous(memory_format=order)
    flow = torch.zeros(2, 2, height, width)
    result = vs_ops.warp(image, flow, impl=impl)
    # Positions are rounded to float32 in pixels, and once more where they are counted from -1 to 1.
    torch.testing.assert_close(result, image, rtol=0, atol=max(height, width) * 1e-6)
    assert result.is_contiguous(memory_format=order)
    for dtype in (torch.float16, torch.bfloat16):
        coarse = (image / 8).round().to(dtype)  # neighbours differ too little to show that rounding
        assert torch.equal(vs_ops.warp(coarse, flow, impl=impl), coarse)


@each_of(vs_ops.WARP)
@given(seed=seeds, scale=st.sampled_from([0.3, 4.0]), factor=powers)
@quick
def test_warping_is_linear_in_the_image_and_knows_no_left_and_right(
    impl: str, seed: int, scale: float, factor: float
) -> None:
    one, other, flow = noise(seed, 2, 3, 5, 7), noise(seed + 1, 2, 3, 5, 7), scale * noise(seed + 2, 2, 2, 5, 7)
    warped, also = vs_ops.warp(one, flow, impl=impl), vs_ops.warp(other, flow, impl=impl)
    both = vs_ops.warp(factor * one + other, flow, impl=impl)
    torch.testing.assert_close(both, factor * warped + also, rtol=1e-4, atol=1e-5 * (1 + factor))
    mirrored = flow.flip(3) * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    torch.testing.assert_close(vs_ops.warp(one.flip(3), mirrored, impl=impl).flip(3), warped, rtol=1e-4, atol=2e-5)


@each_of(vs_ops.WARP_AND_BLEND)
@given(seed=seeds)
@quick
def test_a_blend_lies_between_both_images(impl: str, seed: int) -> None:
    image, flow, hallucinated = noise(seed, 2, 3, 5, 7), noise(seed + 1, 2, 2, 5, 7), noise(seed + 2, 2, 3, 5, 7)
    mask = noise(seed + 3, 2, 1, 5, 7).sigmoid()
    blended, warped = vs_ops.warp_and_blend(image, flow, mask, hallucinated, impl=impl)
    torch.testing.assert_close(warped, vs_ops.warp(image, flow, impl="reference"), rtol=1e-5, atol=1e-5)
    assert (blended <= torch.maximum(warped, hallucinated) + 1e-5).all()
    assert (blended >= torch.minimum(warped, hallucinated) - 1e-5).all()
    torch.testing.assert_close(blended, torch.lerp(warped, hallucinated, mask), rtol=1e-5, atol=1e-5)


@each_of(vs_ops.SPECTRAL_NORMALIZE)
@given(seed=seeds, scale=powers)
@quick
def test_an_orthogonal_matrix_is_its_own_spectral_normalisation(impl: str, seed: int, scale: float) -> None:
    """All of its singular values are one, so that a single iteration finds a pair of singular vectors from anywhere."""
    matrix, _ = torch.linalg.qr(noise(seed, 12, 12))
    weight = scale * matrix
    u, v = vs_ops.power_iteration(weight, F.normalize(noise(seed + 1, 12), dim=0), torch.zeros(12))
    result = vs_ops.spectral_normalize(weight.view(12, 3, 2, 2), u, v, impl=impl)
    torch.testing.assert_close(result.flatten(1), matrix, rtol=1e-5, atol=1e-6)


@each_of(vs_ops.SPECTRAL_NORMALIZE)
@given(seed=seeds)
@quick
def test_the_gradient_of_a_normalised_weight_does_not_change_its_size(impl: str, seed: int) -> None:
    weight, u, v = noise(seed, 4, 3, 2, 2).requires_grad_(), noise(seed + 1, 4), noise(seed + 2, 12)
    sigma = (u @ weight.detach().flatten(1) @ v).abs()
    upstream = noise(seed + 3, 4, 3, 2, 2)
    (grad,) = torch.autograd.grad(vs_ops.spectral_normalize(weight, u, v, impl=impl), weight, upstream)
    size = grad.norm() * weight.norm()
    assert abs((grad * weight).sum()) <= 1e-5 * size + 1e-5 * (upstream * weight).sum().abs() / sigma


@each_of(vs_ops.POWER_ITERATION)
@given(seed=seeds, scale=powers)
@quick
def test_the_scale_of_a_weight_does_not_move_its_vectors(impl: str, seed: int, scale: float) -> None:
    weight, u, v = noise(seed, 5, 7), noise(seed + 1, 5), torch.zeros(7)
    one, other = (vs_ops.power_iteration(each, u, v, impl=impl) for each in (weight, scale * weight))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close([each.norm() for each in one], [torch.tensor(1.0)] * 2)


HINGES: Sequence[Operator] = (vs_ops.HINGE_D_REAL, vs_ops.HINGE_D_FAKE, vs_ops.HINGE_G)


@pytest.mark.parametrize(
    ("operator", "impl"),
    [pytest.param(one, impl, id=f"{one.name}-{impl}") for one in HINGES for impl in names_here(one)],
)
@given(seed=seeds, scale=st.floats(0.1, 100))
@quick
def test_a_hinge_pulls_on_the_wrong_side_only(operator: Operator, impl: str, seed: int, scale: float) -> None:
    function = getattr(vs_ops, operator.name)
    logits = (scale * noise(seed, 2, 1, 5, 7)).requires_grad_()
    loss = function(logits, impl=impl)
    (grad,) = torch.autograd.grad(loss, logits)
    sign = {"hinge_d_real": -1.0, "hinge_d_fake": 1.0, "hinge_g": -1.0}[operator.name]
    pulled = torch.ones_like(logits) if operator is vs_ops.HINGE_G else (1 + sign * logits > 0).float()
    torch.testing.assert_close(grad, sign * pulled / logits.numel())
    offset = 0.0 if operator is vs_ops.HINGE_G else pulled.mean()
    torch.testing.assert_close(loss, offset + (grad * logits).sum(), rtol=1e-5, atol=1e-5 * (1 + scale))


@each_of(vs_ops.MASKED_L1)
@given(seed=seeds, factor=powers)
@quick
def test_masked_l1_is_a_distance_and_linear_in_its_mask(impl: str, seed: int, factor: float) -> None:
    a, b, c = (noise(seed + index, 2, 3, 4, 5) for index in range(3))
    one, other = noise(seed + 3, 2, 1, 4, 5).abs(), noise(seed + 4, 2, 1, 4, 5).abs()

    def distance(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
        return vs_ops.masked_l1(a, b, mask, impl=impl)

    near = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(
        distance(a, b, factor * one + other), factor * distance(a, b, one) + distance(a, b, other), **near
    )
    torch.testing.assert_close(distance(a, b, one), distance(b, a, one), **near)
    torch.testing.assert_close(distance(factor * a, factor * b, one), factor * distance(a, b, one), **near)
    assert distance(a, a, one) == 0
    assert distance(a, c, one) <= distance(a, b, one) + distance(b, c, one) + 1e-5
    over_valid = [vs_ops.masked_l1(a, b, mask, reduction="valid", impl=impl) for mask in (one, (1 + factor) * one)]
    torch.testing.assert_close(*over_valid, rtol=1e-5, atol=1e-6)


@each_of(vs_ops.FEATURE_MATCHING)
@given(seed=seeds, factor=powers)
@quick
def test_features_that_match_cost_nothing(impl: str, seed: int, factor: float) -> None:
    layers = [noise(seed, 1, 4, 5, 6).requires_grad_(), noise(seed + 1, 1, 8, 3, 3).requires_grad_()]
    real = [noise(seed + 2, 1, 4, 5, 6), noise(seed + 3, 1, 8, 3, 3)]
    same = vs_ops.feature_matching([layers], [[each.detach() for each in layers]], impl=impl)
    assert same == 0
    assert not any(grad.any() for grad in torch.autograd.grad(same, layers))
    loss = vs_ops.feature_matching([layers], [real], impl=impl)
    scaled = vs_ops.feature_matching(
        [[factor * each for each in layers]], [[factor * each for each in real]], impl=impl
    )
    torch.testing.assert_close(scaled, factor * loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(vs_ops.feature_matching([layers] * 3, [real] * 3, impl=impl), loss, rtol=1e-5, atol=0)


@each_of(vs_ops.REFERENCE_MATRIX)
@given(seed=seeds, factor=powers)
@quick
def test_a_reference_matrix_is_linear_in_the_image_and_blind_to_places(impl: str, seed: int, factor: float) -> None:
    one, other, label = noise(seed, 2, 3, 4, 6), noise(seed + 1, 2, 3, 4, 6), noise(seed + 2, 2, 5, 4, 6)

    def matrix(image: Tensor, label: Tensor) -> Tensor:
        return vs_ops.reference_matrix(image, label, impl=impl)

    expected = factor * matrix(one, label) + matrix(other, label)
    torch.testing.assert_close(matrix(factor * one + other, label), expected, rtol=1e-4, atol=1e-4 * (1 + factor))
    generator = torch.Generator().manual_seed(seed)
    places, columns = torch.randperm(24, generator=generator), torch.randperm(5, generator=generator)
    image, spread = (each.flatten(2)[..., places].view_as(each) for each in (one, label[:, columns]))
    torch.testing.assert_close(matrix(image, spread), matrix(one, label)[..., columns], rtol=1e-4, atol=1e-4)
    shifted = matrix(one, label + noise(seed + 3, 2, 1, 4, 6))  # what softmax does not see
    torch.testing.assert_close(shifted, matrix(one, label), rtol=1e-4, atol=1e-4)


@each_of(vs_ops.ONE_HOT)
@given(seed=seeds, dont_care=st.booleans())
@quick
def test_renumbered_classes_are_moved_channels(impl: str, seed: int, dont_care: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids, numbers = torch.randint(0, 6, (2, 4, 5), generator=generator), torch.randperm(6, generator=generator)
    maps = vs_ops.one_hot(ids, 6, dont_care=dont_care, impl=impl)
    moved = vs_ops.one_hot(numbers[ids], 6, dont_care=dont_care, impl=impl)
    assert torch.equal(moved[:, numbers], maps[:, :6])
    assert torch.equal(moved[:, 6:], maps[:, 6:])
