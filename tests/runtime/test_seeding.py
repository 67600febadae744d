"""Random state: seeds that mean the same everywhere, and generators that go on where they were."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vs_runtime import StateError, derive_seed, random_state, restore_random_state, seed_everything

NAMES = st.lists(st.one_of(st.text(max_size=4), st.integers()), max_size=3)


def draw() -> tuple[object, ...]:
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.standard_normal(3).tolist(),  # noqa: NPY002
        np.random.randint(1000),  # noqa: NPY002
        torch.randn(3).tolist(),
    )


@pytest.fixture(autouse=True)
def leave_the_generators_as_they_were() -> object:
    before = random_state()
    yield
    restore_random_state(before)


def test_a_seed_fixes_every_generator() -> None:
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [0, -3, 2**40])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    seed_everything(seed)


def test_generators_go_on_where_they_were() -> None:
    seed_everything(1)
    draw()  # leaves half a pair of normal numbers behind in Python's and NumPy's generators
    np.random.standard_normal()  # noqa: NPY002
    state = random_state()
    expected = [draw() for _ in range(3)]
    seed_everything(99)
    restore_random_state(state)
    assert [draw() for _ in range(3)] == expected


@pytest.mark.parametrize("broken", [{}, {"numpy": {}}, {"numpy": None}])
def test_a_foreign_state_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(StateError, match="random state: "):
        restore_random_state(broken)


def test_derived_seeds_are_frozen() -> None:
    """These numbers may never change: old runs are resumed by them."""
    assert derive_seed(0) == 872690540733923963
    assert derive_seed(7, "loader", 12) == 4245611366848235086


@given(st.integers(), NAMES, st.integers(), NAMES)
def test_derived_seeds_differ_where_names_do(
    a: int, names_a: list[str | int], b: int, names_b: list[str | int]
) -> None:
    first, second = derive_seed(a, *names_a), derive_seed(b, *names_b)
    assert 0 <= first < 2**63
    assert (first == second) == ((a, names_a) == (b, names_b))


@pytest.mark.gpu
def test_cuda_goes_on_where_it_was() -> None:
    torch.randn(1, device="cuda")
    state = random_state()
    expected = torch.randn(3, device="cuda")
    restore_random_state(state)
    assert torch.equal(torch.randn(3, device="cuda"), expected)
