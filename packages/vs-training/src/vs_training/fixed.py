"""What of a configuration a run cannot change once it has begun, since another value would be another training.

Every checkpoint holds it, and so does environment.json: a config.toml that was damaged or edited, or a checkpoint of
another run, is noticed by the first field that differs. How long to train, what to write, where to compute and where
files lie may change; `--resume` takes most of it from the command line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from vs_config import show, to_document

_FREE = ("run", "device", "memory.checkpoint", "data.root", "data.val_root", "objective.perceptual.path", "loader")
_FIXED_AFTER_ALL = ("loader.batch_size",)


def fixed_part(config: Any) -> dict[str, Any]:
    """The configuration without what may change, as plain data that JSON keeps as it is."""
    document: dict[str, Any] = _without_free(to_document(config))
    return document


def first_difference(saved: Mapping[str, Any], config: Any) -> str | None:
    """The first field that a run was begun with another value of, in words; None: it is the same training.

    Fields that only one of both has are of another version of this program and left out.

    Args:
        saved: What `fixed_part` gave when the run began, or the checkpoint was written.
        config: The configuration now.
    """
    return next(_differences(saved, fixed_part(config), ""), None)


def _without_free(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            below = _without_free(value, f"{path}.")
            if below:
                kept[key] = below
        elif not _is_free(path):
            kept[key] = str(value) if isinstance(value, float) and not math.isfinite(value) else value
    return kept


def _is_free(path: str) -> bool:
    if path in _FIXED_AFTER_ALL:
        return False
    return any(path == free or path.startswith(f"{free}.") for free in _FREE)


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in now:
        if key not in saved:
            continue
        before, after, path = saved[key], now[key], f"{where}.{key}" if where else key
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, path)
        elif before != after:
            yield f"{path}: expected {show(before)}, with which the run was trained, got {show(after)}"
