"""The moving average: start, convergence, dtypes, and what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_config import ConfigError
from vs_optim import EmaConfig, EmaError, ema_update


def test_the_first_updates_are_copies_and_then_it_averages() -> None:
    config = EmaConfig(beta=0.5, start_step=2)
    average = [torch.zeros(2)]
    seen = []
    for step in range(4):
        ema_update(average, [torch.full((2,), float(step + 1))], config, step=step)
        seen.append(average[0][0].item())
    assert seen == [1.0, 2.0, 2.5, 3.25]


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30),
    st.floats(0.0, 0.999),
    st.integers(0, 5),
)
def test_it_is_the_average_that_the_formula_says_and_never_leaves_the_values(
    values: list[float], beta: float, start: int
) -> None:
    average, exact = torch.zeros(1), 0.0
    for step, value in enumerate(values):
        ema_update([average], [torch.tensor([value])], EmaConfig(beta=beta, start_step=start), step=step)
        exact = value if step < start else beta * exact + (1 - beta) * value
    assert average.item() == pytest.approx(exact, rel=1e-4, abs=1e-2)
    slack = 1e-3
    assert min(0.0, *values) - slack <= average.item() <= max(0.0, *values) + slack


def test_it_averages_in_float32_whatever_the_values_are() -> None:
    """In bfloat16 an average at 1 would never move by a thousandth of 0.5."""
    average = torch.ones(1)
    for step in range(100):
        ema_update([average], [torch.full((1,), 0.5, dtype=torch.bfloat16)], EmaConfig(start_step=0), step=step)
    assert average.item() == pytest.approx(0.5 + 0.5 * 0.999**100, rel=1e-5)
    assert average.dtype is torch.float32


def test_counters_are_copied_and_odd_strides_are_fine() -> None:
    average, counter = torch.zeros(3, 2).t(), torch.tensor(0)
    value = torch.arange(6.0).reshape(2, 3).requires_grad_()
    ema_update([average, counter], [value, torch.tensor(7)], EmaConfig(beta=0.5, start_step=0), step=0)
    assert torch.equal(average, value.detach() / 2)
    assert counter.item() == 7
    assert not average.requires_grad


def test_nothing_to_average_is_nothing_to_do() -> None:
    ema_update([], [], EmaConfig(), step=1000)


@pytest.mark.parametrize(
    ("averages", "values", "message"),
    [
        ([torch.zeros(1)], [], "1 averages for 0 values"),
        ([torch.zeros(1), torch.zeros(2)], [torch.zeros(1), torch.zeros(3)], "average number 1 has shape (2,)"),
        ([torch.zeros(1, dtype=torch.float16)], [torch.zeros(1)], "keep averages in float32"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(
    averages: list[torch.Tensor], values: list[torch.Tensor], message: str
) -> None:
    with pytest.raises(EmaError) as caught:
        ema_update(averages, values, EmaConfig(), step=0)
    assert message in str(caught.value)


@pytest.mark.parametrize(("arguments", "field"), [({"beta": 1.0}, "beta"), ({"start_step": -1}, "start_step")])
def test_config_names_the_field(arguments: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EmaConfig(**arguments)  # type: ignore[arg-type]
    assert caught.value.problems[0].path == field
