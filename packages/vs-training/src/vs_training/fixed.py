"""What of a configuration a run cannot change once it has begun, since another value would be another training.

Every checkpoint holds it, and so does environment.json: a config.toml that was damaged or edited, or a checkpoint of
another run, is noticed by the first field that differs. How long to train, what to write, where to compute and where
files lie may change; `--resume` takes most of it from the command line.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from vs_config import show, to_document, with_current_names

FIXED = "fixed"
"""The key under which a checkpoint holds it."""

_FREE = (
    "run",
    "device",
    "init",
    "memory.checkpoint",
    "performance.keep_memory",
    "performance.give_way",
    "performance.graphs",
    "distributed",
    "data.root",
    "data.val_root",
    "objective.perceptual.path",
    "loader",
)
_FIXED_AFTER_ALL = ("loader.batch_size", "distributed.reduce")


def fixed_part(config: Any) -> dict[str, Any]:
    """Return the configuration without what may change, as plain data that JSON keeps as it is."""
    document: dict[str, Any] = _without_free(to_document(config))
    return document


def first_difference(saved: Mapping[str, Any], config: Any) -> str | None:
    """Return the first field that a run was begun with another value of, in words; None: it is the same training.

    Fields that only one of both has are of another version of this program and left out; those that an earlier version
    called otherwise are compared.

    Args:
        saved: What `fixed_part` gave when the run began, or the checkpoint was written.
        config: The configuration now.
    """
    return next(_differences(with_current_names(type(config), saved), fixed_part(config), ""), None)


def _without_free(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        match value:
            case Mapping():
                if below := _without_free(value, f"{path}."):
                    kept[key] = below
            case _ if _is_free(path):
                pass
            case float() if not math.isfinite(value):
                kept[key] = str(value)
            case _:
                kept[key] = value
    return kept


def _is_free(path: str) -> bool:
    if path in _FIXED_AFTER_ALL:
        return False
    return any(path == free or path.startswith(f"{free}.") for free in _FREE)


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in now:
        if key not in saved:
            continue
        yield from _differences_of_values(saved[key], now[key], f"{where}.{key}" if where else key)


def _differences_of_values(saved: Any, now: Any, path: str) -> Iterator[str]:
    match saved, now:
        case Mapping(), Mapping():
            yield from _differences(saved, now, path)
        case list(), list() if len(saved) == len(now):
            for index, (before, after) in enumerate(zip(saved, now, strict=True)):
                yield from _differences_of_values(before, after, f"{path}[{index}]")
        case _ if saved != now:
            yield f"{path}: expected {show(saved)}, with which the run was trained, got {show(now)}"
