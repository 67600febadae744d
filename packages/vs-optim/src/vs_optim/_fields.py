"""Fields of the configurations here: those of `vs_config`, with this package's error."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import attrs
import vs_config

from vs_optim.errors import ConfigError

MOST_STEPS = 10**9
"""Steps that no training reaches: bounds of what is counted in steps."""

LARGEST = 1e30
"""The largest loss scale: float32 ends at 3e38, and losses are multiplied by it."""

SMALLEST = 1e-30
"""The smallest loss scale."""

choice = partial(vs_config.choice, error=ConfigError)
real = partial(vs_config.real, error=ConfigError)
truth = partial(vs_config.truth, error=ConfigError)
whole = partial(vs_config.whole, error=ConfigError)

_STEPS = vs_config.Range(kind=int, low=1, high=MOST_STEPS)


def rising_steps(_: object, field: attrs.Attribute[Any], value: Any) -> None:
    """A validator: a tuple of strictly increasing steps."""
    fits = isinstance(value, tuple) and all(v in _STEPS for v in value)
    if not fits or any(a >= b for a, b in itertools.pairwise(value)):
        raise ConfigError(field.name, value, f"whole numbers from 1 to {MOST_STEPS} in rising order")
