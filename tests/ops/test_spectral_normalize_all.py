"""Spectral norm of all layers at once: the same as one after the other, in every memory format and precision."""

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triton_samples import names_here

IMPLEMENTATIONS = names_here(vs_ops.SPECTRAL_NORMALIZE_ALL)
impls = pytest.mark.parametrize("impl", IMPLEMENTATIONS)
sides = st.integers(1, 6)
shapes = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.just(3), st.just(3)))


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(shapes: list[tuple[int, ...]], *, channels_last: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    weights = [noise(i, *shape) for i, shape in enumerate(shapes)]
    if channels_last:
        weights = [w.contiguous(memory_format=torch.channels_last) if w.dim() == 4 else w for w in weights]
    us = [F.normalize(noise(50 + i, len(w)), dim=0) for i, w in enumerate(weights)]
    return [w.requires_grad_() for w in weights], us, [noise(99 + i, w[0].numel()) for i, w in enumerate(weights)]


@impls
@given(shapes=st.lists(shapes, max_size=4), channels_last=st.booleans(), iterations=st.integers(0, 2))
@settings(max_examples=30, deadline=None)
def test_it_is_the_operators_of_one_layer_in_turn(
    impl: str, shapes: list[tuple[int, ...]], channels_last: bool, iterations: int
) -> None:
    weights, us, vs = network(shapes, channels_last=channels_last)
    together = vs_ops.spectral_normalize_all(weights, us, vs, iterations=iterations, impl=impl)
    for i, (weight, u, v) in enumerate(zip(weights, us, vs, strict=True)):
        for _ in range(iterations):
            u, v = vs_ops.power_iteration(weight.flatten(1), u, v, impl="reference")
        alone = vs_ops.spectral_normalize(weight, u, v, impl="reference")
        upstream = noise(7, *weight.shape)
        torch.testing.assert_close((together.us[i], together.vs[i], together.weights[i]), (u, v, alone))
        pair = (together.weights[i], alone)
        grads = [torch.autograd.grad(each, weight, upstream, retain_graph=True)[0] for each in pair]
        torch.testing.assert_close(*grads)
        assert together.weights[i].stride() == weight.stride()


@impls
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_lower_dtype_is_rounded_to_once(impl: str, dtype: torch.dtype) -> None:
    weights, us, vs = network([(6, 4, 3, 3), (5, 8)], channels_last=True)
    singles = [[each.detach().float() for each in many] for many in (weights, us, vs)]
    exact = vs_ops.spectral_normalize_all(weights, us, vs, impl="reference")
    coarse = vs_ops.spectral_normalize_all(*singles, dtype=dtype, impl=impl)
    for value, truth in zip(coarse.weights, exact.weights, strict=True):
        assert value.dtype is dtype
        cut_off = impl == "triton" and dtype is torch.bfloat16  # as Triton's interpreter does
        rounding = torch.finfo(dtype).eps * (1.0 if cut_off else 0.5)
        assert ((value.double() - truth).abs() <= (rounding + 1e-5) * truth.abs() + 1e-7).all()
    assert all(u.dtype is torch.float32 for u in coarse.us)


@impls
def test_gradients_of_a_lower_dtype_come_back_in_that_of_the_weight(impl: str) -> None:
    weights, us, vs = network([(6, 4, 3, 3)], channels_last=True)
    weight = weights[0].detach().float().requires_grad_()
    u, v, upstream = us[0].float(), vs[0].float(), noise(3, 6, 4, 3, 3).bfloat16()
    (coarse,) = vs_ops.spectral_normalize_all([weight], [u], [v], dtype=torch.bfloat16, impl=impl).weights
    (exact,) = vs_ops.spectral_normalize_all(weights, us, vs, impl="reference").weights
    (grad,) = torch.autograd.grad(coarse, weight, upstream)
    assert grad.dtype is torch.float32
    (expected,) = torch.autograd.grad(exact, weights[0], upstream.double())
    torch.testing.assert_close(grad.double(), expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()))


@impls
def test_the_vectors_may_be_overwritten_before_backward(impl: str) -> None:
    weights, us, vs = network([(4, 3, 2, 2), (5, 6)], channels_last=False)
    first, second = (vs_ops.spectral_normalize_all(weights, us, vs, impl=impl) for _ in range(2))
    for vector in (*us, *vs, *first.us, *first.vs):
        vector.zero_()
    grads = [torch.autograd.grad(sum(w.square().sum() for w in each.weights), weights) for each in (first, second)]
    torch.testing.assert_close(*grads)
    assert all(grad.any() for grad in grads[0])


@impls
@pytest.mark.parametrize("channels_last", [False, True])
def test_it_can_be_differentiated_twice(impl: str, channels_last: bool) -> None:
    weights, us, vs = network([(3, 2, 2, 2), (4, 3)], channels_last=channels_last)

    def function(*weights: Tensor) -> tuple[Tensor, ...]:
        return tuple(vs_ops.spectral_normalize_all(weights, us, vs, iterations=0, impl=impl).weights)

    assert torch.autograd.gradcheck(function, weights)
    assert torch.autograd.gradgradcheck(function, weights)


@impls
def test_one_layer_without_a_gradient_does_not_disturb_the_others(impl: str) -> None:
    weights, us, vs = network([(4, 3), (5, 6), (2, 2)], channels_last=False)
    weights[1].requires_grad_(False)
    results = vs_ops.spectral_normalize_all(weights, us, vs, impl=impl).weights
    results[2].sum().backward()
    assert weights[2].grad is not None
    assert weights[0].grad is None or not weights[0].grad.any()
    assert weights[1].grad is None


def test_no_layers_are_no_work() -> None:
    assert vs_ops.spectral_normalize_all([], [], []) == ([], [], [])


@pytest.mark.parametrize("impl", names_here(vs_ops.SINGULAR_VALUES))
@given(shapes=st.lists(shapes, max_size=4), channels_last=st.booleans())
@settings(max_examples=30, deadline=None)
def test_singular_values_are_what_weights_are_divided_by(
    impl: str, shapes: list[tuple[int, ...]], channels_last: bool
) -> None:
    weights, us, vs = network(shapes, channels_last=channels_last)
    sigmas = vs_ops.singular_values(weights, us, vs, impl=impl)
    divided = vs_ops.spectral_normalize_all(weights, us, vs, iterations=0, impl="reference").weights
    assert len(sigmas) == len(shapes)
    for weight, sigma, expected in zip(weights, sigmas, divided, strict=True):
        torch.testing.assert_close(weight / sigma, expected)
        grads = [torch.autograd.grad(each.sum(), weight, retain_graph=True)[0] for each in (weight / sigma, expected)]
        torch.testing.assert_close(*grads)


@impls
def test_an_overflowing_gradient_is_infinite_and_no_error(impl: str) -> None:
    """A loss scaler takes what is not finite for a reason to skip the step."""
    weight = (1e-2 * noise(3, 8, 8).float()).requires_grad_()
    us, vs = [noise(4, 8).float()], [noise(5, 8).float()]
    (result,) = vs_ops.spectral_normalize_all([weight], us, vs, impl=impl).weights
    result.backward(1e37 * weight.detach().sign())
    assert not weight.grad.isfinite().all()


@pytest.mark.parametrize(("stored", "wanted"), [(torch.float64, torch.bfloat16), (torch.float32, torch.float64)])
def test_weights_and_results_may_differ_in_dtype(stored: torch.dtype, wanted: torch.dtype) -> None:
    grads = []
    for impl in IMPLEMENTATIONS:
        weight = noise(6, 3, 4).to(stored).requires_grad_()
        us, vs = [noise(7, 3).to(stored)], [noise(8, 4).to(stored)]
        (result,) = vs_ops.spectral_normalize_all([weight], us, vs, dtype=wanted, impl=impl).weights
        assert result.dtype is wanted
        (grad,) = torch.autograd.grad(result, weight, noise(9, 3, 4).to(wanted))
        assert grad.dtype is stored
        grads.append(grad)
    for grad in grads[1:]:
        torch.testing.assert_close(grad, grads[0], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("portion", [1, 30, 2**19])
def test_in_portions_of_any_size_it_is_the_same(portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, us, vs = network([(6, 4, 3, 3), (5, 8), (2, 3), (7, 7), (3, 2, 3, 3)], channels_last=False)
    whole = vs_ops.spectral_normalize_all(weights, us, vs, impl="reference")
    monkeypatch.setattr("vs_ops.native.spectral_normalize_all._PORTION", portion)
    torch.testing.assert_close(vs_ops.spectral_normalize_all(weights, us, vs, impl="native"), whole)


@impls
def test_weights_may_lie_in_memory_as_they_like(impl: str) -> None:
    weights = [
        noise(1, 5, 4).t(),
        noise(2, 6, 8)[:, ::2],
        noise(3, 3, 4, 3, 3).permute(1, 0, 3, 2),
        noise(4, 1).expand(4, 6),
    ]
    leaves = [weight.requires_grad_() for weight in weights]
    us = [F.normalize(noise(5 + i, len(weight)), dim=0) for i, weight in enumerate(weights)]
    vs = [noise(9 + i, weight[0].numel()) for i, weight in enumerate(weights)]
    results, truths = (vs_ops.spectral_normalize_all(leaves, us, vs, impl=each) for each in (impl, "reference"))
    torch.testing.assert_close(results, truths)
    for result, truth, leaf in zip(results.weights, truths.weights, leaves, strict=True):
        upstream = noise(13, *leaf.shape)
        pair = (result, truth)
        torch.testing.assert_close(*(torch.autograd.grad(each, leaf, upstream, retain_graph=True) for each in pair))
