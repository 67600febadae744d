"""The weight of a new value in an exponential moving average."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_config import ConfigError
from vs_optim import EmaConfig, ema_weight


def test_the_first_updates_are_copies_and_then_it_averages() -> None:
    config, average, seen = EmaConfig(beta=0.5, start_step=2), torch.zeros(2), []
    for step in range(4):
        average.lerp_(torch.full((2,), float(step + 1)), ema_weight(config, step=step))
        seen.append(average[0].item())
    assert seen == [1.0, 2.0, 2.5, 3.25]


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30),
    st.floats(0.0, 0.999),
    st.integers(0, 5),
)
def test_it_is_the_average_that_the_formula_says(values: list[float], beta: float, start: int) -> None:
    average, exact = torch.zeros(1), 0.0
    for step, value in enumerate(values):
        average.lerp_(torch.tensor([value]), ema_weight(EmaConfig(beta=beta, start_step=start), step=step))
        exact = value if step < start else beta * exact + (1 - beta) * value
    assert average.item() == pytest.approx(exact, rel=1e-4, abs=1e-2)


@pytest.mark.parametrize(("arguments", "field"), [({"beta": 1.0}, "beta"), ({"start_step": -1}, "start_step")])
def test_config_names_the_field(arguments: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EmaConfig(**arguments)  # type: ignore[arg-type]
    assert caught.value.problems[0].path == field
