"""Fields that are called as words that Python keeps for itself."""

import attrs
import pytest
from vs_config import ConfigError, load_config, parse_toml, path, render_config, resolve_config, table, to_document


@attrs.frozen(kw_only=True)
class Trip:
    from_: str | None = path(None, "where it begins", optional=True)


@attrs.frozen(kw_only=True)
class Plan:
    trip: Trip = table(Trip, "the trip")


def test_documents_overrides_and_files_leave_the_underscore_out() -> None:
    plan = resolve_config(Plan, {}, ["trip.from=home"], "")
    assert plan == Plan(trip=Trip(from_="home"))
    assert plan == load_config(Plan, {"trip": {"from": "home"}})
    assert to_document(plan) == {"trip": {"from": "home"}}
    assert 'from = "home"' in render_config(plan)
    assert load_config(Plan, parse_toml(render_config(plan))) == plan
    assert "# from = ..." in render_config(Plan())


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"trip": {"from": ""}}, "trip.from: expected a path that is not empty, got ''"),
        ({"trip": {"from": 3}}, "trip.from: expected the path of a file or folder or 'none', got 3"),
        ({"trip": {"from_": "home"}}, "trip.from_: unknown key; did you mean 'from'?"),
    ],
)
def test_messages_name_what_was_written(document: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Plan, document)
    assert str(caught.value) == message


def test_a_constructor_says_the_same() -> None:
    with pytest.raises(ConfigError, match=r"^from: expected a path that is not empty, got ''$"):
        Trip(from_="")
