"""Rules by which "auto" chooses: times that a benchmark measured on a device, kept as data beside this file.

`DEVICE.json` is written by the benchmark of this package on the device that it speaks of, and says by which
command, when, on what and with which PyTorch. Nothing here measures anything.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files

import attrs
import torch

__all__ = ["NO_RULES", "Rule", "Rules", "measured_seconds", "parse_rules", "rules_for"]


@attrs.frozen(kw_only=True)
class Rule:
    """The time that one call of an operator took: forward and, where there are gradients, backward.

    `elements` are those of the tensor that decides (see `DescribedCall`), `seconds` medians by implementation.
    """

    operator: str
    dtype: torch.dtype
    elements: int
    seconds: Mapping[str, float]


@attrs.frozen(kw_only=True)
class Rules:
    """The rules of a type of device and where they come from; `source` is one line, empty when there are none."""

    source: str = ""
    rules: tuple[Rule, ...] = ()


NO_RULES = Rules()
"""Of a device on which nobody has measured: the order of preference decides."""


def parse_rules(text: str) -> Rules:
    """Read the rules in a JSON file that the benchmark has written.

    Raises:
        ValueError: it is no such file.
    """
    content = json.loads(text)
    try:
        rules = tuple(
            Rule(
                operator=each["operator"],
                dtype=getattr(torch, each["dtype"]),
                elements=int(each["elements"]),
                seconds={name: float(seconds) for name, seconds in each["seconds"].items()},
            )
            for each in content["rules"]
        )
        source = f"{content['device']}, PyTorch {content['torch']}, {content['measured_at']}: {content['command']}"
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no rules of the benchmark: {type(error).__name__} {error}") from error
    return Rules(source=source, rules=rules)


@functools.cache
def rules_for(device_type: str) -> Rules:
    """Return the rules that come with this package for a type of device, read once; `NO_RULES` where there are none."""
    path = files(__name__) / f"{device_type}.json"
    return parse_rules(path.read_text()) if path.is_file() else NO_RULES


def measured_seconds(rules: Rules, operator: str, dtype: torch.dtype, elements: int) -> Mapping[str, float]:
    """Return what each implementation took for the measured call nearest in size; empty if none was measured.

    Near means: in the logarithm of the number of elements. Where several calls of that size were measured, for
    instance in both memory formats, their times are added.
    """
    measured = [rule for rule in rules.rules if rule.operator == operator and rule.dtype is dtype]
    if not measured or elements < 1:
        return {}
    distances = [abs(math.log(max(rule.elements, 1) / elements)) for rule in measured]
    nearest = min(distances)
    size = measured[distances.index(nearest)].elements
    return _added([rule.seconds for rule in measured if rule.elements == size])


def _added(calls: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return sums over calls, of the implementations that took part in all of them."""
    common = [name for name in calls[0] if all(name in call for call in calls)]
    return {name: sum(call[name] for call in calls) for name in common}
