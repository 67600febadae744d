"""The public functions of vs_ops with the shapes of their signatures checked, as every test of this room calls them."""

import functools
import inspect
from pathlib import Path
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is parametrised by `inductor` compiles for seconds: it is slow, and no test of shapes drawn at random.

    Triton's interpreter takes a thousand times as long as other implementations, so that the conformance suite and its
    own tests see to `triton`, and properties of drawn examples are slow.
    """
    here = Path(__file__).parent
    ours = [item for item in items if item.path.is_relative_to(here)]
    compiled = [item for item in ours if "inductor" in _implementations(item)]
    dropped = [item for item in compiled if item.get_closest_marker("draws_shapes")]
    interpreted = [item for item in ours if "triton" in _implementations(item) and item.path.name not in INTERPRETED]
    for item in (*compiled, *interpreted):
        item.add_marker(pytest.mark.slow)
    items[:] = [item for item in items if item not in dropped]
    config.hook.pytest_deselected(items=dropped)


INTERPRETED = ("test_ops_conformance.py", "test_ops_triton.py")


def _implementations(item: pytest.Item) -> set[str | None]:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {each if isinstance(each, str) else getattr(each, "name", None) for each in parameters}


@pytest.fixture(autouse=True)
def _choose_freely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VS_OPS_IMPL", raising=False)
