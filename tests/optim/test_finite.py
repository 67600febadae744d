"""Which tensors are not finite."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from vs_optim import non_finite

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64]


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(DTYPES), st.sampled_from([None, math.inf, -math.inf, math.nan]), st.integers(1, 70)),
        max_size=8,
    ),
    st.integers(0, 1000),
)
def test_it_names_those_that_hold_an_inf_or_nan_in_order(
    kinds: list[tuple[torch.dtype, float | None, int]], position: int
) -> None:
    named, expected = [], []
    for index, (dtype, bad, size) in enumerate(kinds):
        tensor = torch.randn(size, 3).to(dtype)
        if bad is not None:
            tensor[position % size, position % 3] = bad
            expected.append(f"t{index}")
        named.append((f"t{index}", tensor.t() if index % 2 else tensor))
    assert non_finite(named) == tuple(expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_finite_value_is_finite(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    value = complex(largest, -largest) if dtype.is_complex else -largest
    others = torch.ones(1), torch.ones(1, dtype=torch.float64)
    assert non_finite([("a", torch.full((5,), value, dtype=dtype)), *zip("bc", others, strict=True)]) == ()


def test_empty_tensors_integers_and_booleans_are_finite() -> None:
    assert non_finite([]) == ()
    tensors = (torch.ones(0), torch.tensor([2**62]), torch.tensor([True]))
    assert non_finite(zip("abc", tensors, strict=True)) == ()


def test_a_network_is_looked_at_with_its_buffers_and_left_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert non_finite(network.named_parameters()) == ()
    network[1].running_var[1] = math.inf
    with torch.no_grad():
        network[0].bias[0] = math.nan
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert non_finite(network.state_dict().items()) == ("0.bias", "1.running_var")
    assert non_finite(network.named_parameters()) == ("0.bias",)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor.nan_to_num(7.0), before[name].nan_to_num(7.0))


def test_it_asks_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: asked.append(self.shape) or real(self))
    for name in ("item", "__bool__", "__float__", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("another wait for the device"))
    assert non_finite([(str(i), torch.tensor([1.0, math.nan] if i == 30 else [1.0])) for i in range(100)]) == ("30",)
    assert asked == [(100,)]


@pytest.mark.gpu
def test_it_works_on_cuda_and_across_devices() -> None:
    bad = torch.ones(100_000, device="cuda")
    for value in (math.inf, math.nan):
        bad[70_000] = value
        assert non_finite([("a", torch.ones(3)), ("b", bad), ("c", bad.half()), ("d", bad[:9])]) == ("b", "c")
