"""The planted fault really rounds, and what it is not meant for it leaves alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from vs_bench.accuracy import fault as accuracy_fault
from vs_bench.accuracy.arm import ArmError, check_planted
from vs_bench.accuracy.fault import describe_fault, round_mantissa, rounded_weights

NORMAL = st.floats(2.0**-100, 2.0**100, width=32)
BITS = st.integers(0, accuracy_fault.MAX_BITS)


@given(st.lists(NORMAL, min_size=1), st.sampled_from([1.0, -1.0]))
def test_seven_bits_are_those_of_bfloat16(values, sign):
    x = sign * torch.tensor(values)
    assert torch.equal(round_mantissa(x, 7), x.bfloat16().float())


@given(st.lists(st.floats(2.0**-14, 2.0**15, width=32), min_size=1))
def test_ten_bits_are_those_of_float16(values):
    x = torch.tensor(values)
    assert torch.equal(round_mantissa(x, 10), x.half().float())


@given(st.lists(NORMAL, min_size=1), BITS)
def test_rounding_errs_by_half_a_unit_at_most_and_once_is_enough(values, bits):
    x = torch.tensor(values)
    rounded = round_mantissa(x, bits)
    assert ((rounded - x).abs() <= x.abs() * 2.0 ** -(bits + 1)).all()
    assert torch.equal(round_mantissa(rounded, bits), rounded)
    assert torch.equal(round_mantissa(-x, bits), -rounded)


def test_two_bits_leave_four_numbers_in_each_octave_and_zero():
    x = torch.linspace(1, 2, 1000)[:-1]
    assert set(round_mantissa(x, 2).tolist()) == {1.0, 1.25, 1.5, 1.75, 2.0}
    assert round_mantissa(torch.zeros(2, 0, 3), 2).shape == (2, 0, 3)
    assert round_mantissa(torch.zeros(()), 2) == 0


def test_without_bits_numbers_are_powers_of_two():
    assert round_mantissa(torch.tensor([0.3, -0.4, 1.1, 5.9]), 0).tolist() == [0.25, -0.5, 1.0, 4.0]
    assert [describe_fault(bits).removeprefix("weights of the generator rounded to ") for bits in range(3)] == [
        "powers of two",
        "1 bit of mantissa",
        "2 bits of mantissa",
    ]


@pytest.mark.parametrize(("bits", "dtype"), [(-1, torch.float32), (23, torch.float32), (3, torch.float64)])
def test_what_cannot_be_rounded_is_refused(bits, dtype):
    with pytest.raises(ValueError, match="bits from 0 to 22 and float32"):
        round_mantissa(torch.ones(1, dtype=dtype), bits)


def stepped(network, optimizer):
    optimizer.zero_grad()
    network(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()
    return [p.detach().clone() for p in network.parameters()]


def network_and_optimizer(width):
    torch.manual_seed(0)
    network = nn.Linear(3, width)
    return network, torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)


def test_every_step_of_the_network_with_these_shapes_is_rounded_and_no_other_one():
    spoilt, sound = network_and_optimizer(4), network_and_optimizer(5)
    with rounded_weights([p.shape for p in spoilt[0].parameters()], 3) as planted:
        for _ in range(2):
            rounded, kept = stepped(*spoilt), stepped(*sound)
    assert planted.steps == 2
    assert all(torch.equal(p, round_mantissa(p, 3)) for p in rounded)
    reference = network_and_optimizer(5)
    stepped(*reference)
    assert all(map(torch.equal, kept, stepped(*reference)))


def test_after_the_context_nothing_is_rounded_any_more():
    network, optimizer = network_and_optimizer(4)
    with rounded_weights([p.shape for p in network.parameters()], 3):
        stepped(network, optimizer)
    after = stepped(network, optimizer)
    assert not all(torch.equal(p, round_mantissa(p, 3)) for p in after)


def test_an_arm_whose_fault_was_not_planted_is_refused():
    weights = {"a": torch.tensor([1.5, 0.25]), "b": torch.tensor([1.25])}
    check_planted(["a"], weights, 1)
    with pytest.raises(ArmError, match="b has more than 1 bits"):
        check_planted(["a", "b"], weights, 1)
