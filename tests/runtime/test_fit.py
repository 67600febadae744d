"""A state that was read is compared with what would be saved: nothing of another kind passes."""

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vs_runtime import Every, Maybe, StateError, check_fit

STATE: dict[str, Any] = {
    "net": {"a.weight": torch.ones(2, 3), "a.count": torch.zeros((), dtype=torch.int64)},
    "params": [{"step": 4, "average": torch.ones(2)}, None],
    "random": (3, (1, 2, 3), None),
    "scale": 2.0,
    "name": "x",
    "on": True,
    "cuda": [torch.zeros(16, dtype=torch.uint8)],
}
TEMPLATE: dict[str, Any] = {
    **STATE,
    "params": [Maybe({"step": 0, "average": torch.zeros(2)})] * 2,
    "random": (3, (1, 2, 3), Maybe(0.0)),
    "cuda": Every(torch.zeros(16, dtype=torch.uint8)),
}
PLACES: list[tuple[Any, ...]] = [
    ("net",),
    ("net", "a.weight"),
    ("net", "a.count"),
    ("params",),
    ("params", 0),
    ("params", 0, "step"),
    ("params", 0, "average"),
    ("random",),
    ("scale",),
    ("name",),
    ("on",),
    ("cuda",),
    ("cuda", 0),
]
OTHERS = [
    0,
    -1,
    2**63,
    1.5,
    math.nan,
    math.inf,
    "4",
    False,
    [],
    (),
    {},
    torch.ones(2, 3, dtype=torch.int64),
    torch.ones(2, 3, dtype=torch.bool),
    torch.full((2, 3), math.nan),
    torch.ones(3, 2),
    torch.zeros(()),
]


def at(state: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        state = state[key]
    return state


def test_what_was_saved_fits_and_values_do_not_matter() -> None:
    check_fit(TEMPLATE, STATE)
    check_fit(TEMPLATE, {**STATE, "scale": 7.5, "params": [None, None], "cuda": [], "random": (0, (9, 9, 9), 0.5)})


@given(place=st.sampled_from(PLACES), other=st.sampled_from(OTHERS))
def test_nothing_of_another_kind_passes(place: tuple[Any, ...], other: Any) -> None:
    state = copy.deepcopy(STATE)
    before = at(state, place)
    at(state, place[:-1])[place[-1]] = other
    same_kind = type(other) is type(before) and not isinstance(before, torch.Tensor | dict | list | tuple)
    right = same_kind and not (isinstance(other, int | float) and not (math.isfinite(other) and 0 <= other < 2**63))
    if right or (place == ("cuda",) and other == []):
        check_fit(TEMPLATE, state)
        return
    with pytest.raises(StateError) as caught:
        check_fit(TEMPLATE, state)
    assert caught.value.where.startswith(".".join(map(str, place)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": {"a.weight": torch.ones(2, 3)}}, r"^net\.a\.count: is missing$"),
        ({"more": 1}, r"^more: is not expected here$"),
        (
            {"net": {**STATE["net"], "a.weight": torch.ones(2, 3, dtype=torch.bool)}},
            r"^net\.a\.weight: expected float32 \(2, 3\), got bool \(2, 3\)$",
        ),
        ({"scale": None}, r"^scale: expected a number with a fraction, got nothing \(null\)$"),
        ({"params": [None]}, r"^params: expected a list of 2, got a list of 1$"),
    ],
)
def test_the_message_names_the_place_and_what_was_expected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StateError, match=message):
        check_fit(TEMPLATE, {**STATE, **change})
