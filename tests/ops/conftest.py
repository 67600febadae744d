"""The public functions of vs_ops with the shapes of their signatures checked, as every test of this room calls them."""

import functools
import inspect
from types import SimpleNamespace

import pytest
import vs_ops
from beartype import beartype
from jaxtyping import jaxtyped


@functools.cache
def checked_functions() -> SimpleNamespace:
    functions = {name: getattr(vs_ops, name) for name in (operator.name for operator in vs_ops.OPERATORS)}
    assert all(inspect.isfunction(function) for function in functions.values())
    return SimpleNamespace(**{name: jaxtyped(function, typechecker=beartype) for name, function in functions.items()})


@pytest.fixture(scope="session")
def ops() -> SimpleNamespace:
    """`ops.warp(...)` is `vs_ops.warp(...)` with arguments and results checked against its annotations."""
    return checked_functions()


@pytest.fixture(autouse=True)
def _choose_freely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VS_OPS_IMPL", raising=False)
