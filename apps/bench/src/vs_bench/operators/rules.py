"""From measurements to the rules by which vs-ops chooses: `packages/vs-ops/src/vs_ops/rules/DEVICE_TYPE.json`.

One rule a measured subject: operator, dtype and number of elements of the deciding tensor, and the seconds that each of
our implementations took. `inductor` is measured but never a rule: it needs a compiler, so nobody chooses it unasked.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from vs_ops.dispatch import IMPLEMENTATION_NAMES

from vs_bench.results import ROOT

RULES = ROOT / "packages" / "vs-ops" / "src" / "vs_ops" / "rules"
CHOSEN_FROM = tuple(name for name in IMPLEMENTATION_NAMES if name != "inductor")

Record = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Origin:
    """Where, with what, when and of which revision (`-dirty` if code differed from it) rules were measured."""

    device_type: str
    device: str
    torch: str
    command: str
    measured_at: str
    revision: str | None


def rules_of(records: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """Return one rule for each measured subject of the records, by operator, that is meant to be one. Pure."""
    return [_rule(name, record) for name, measured in records.items() for record in measured if record["rule"]]


def _rule(name: str, record: Record) -> dict[str, Any]:
    medians = {case["name"]: case["median_seconds"] for case in record["cases"]}
    seconds = {one: medians[one] for one in CHOSEN_FROM if one in medians}
    return {"operator": name, "dtype": record["dtype"], "elements": record["elements"], "seconds": seconds}


def merge_rules(before: Record | None, new: Sequence[Record], origin: Origin) -> dict[str, Any]:
    """Return the content of the file: `new` instead of what `before` has of the same operators and dtypes. Pure.

    The file speaks of one device and one PyTorch: if `before` was measured on another, none of it is kept. What is kept
    may be older than the file says, so each rule says itself when it was measured, and of which revision.
    """
    where = {"device_type": origin.device_type, "device": origin.device, "torch": origin.torch}
    known = [] if before is None or where != {key: before[key] for key in where} else before["rules"]
    measured = {(rule["operator"], rule["dtype"]) for rule in new}
    kept = [rule for rule in known if (rule["operator"], rule["dtype"]) not in measured]
    stamp = {"measured_at": origin.measured_at, "revision": origin.revision}
    ordered = sorted(
        [*kept, *({**rule, **stamp} for rule in new)],
        key=lambda rule: (rule["operator"], rule["dtype"], rule["elements"]),
    )
    return {**attrs.asdict(origin), "rules": ordered}


def write_rules(new: Sequence[Record], origin: Origin, *, folder: Path = RULES) -> Path:
    """Merge `new` into `folder/DEVICE_TYPE.json`, one rule a line, and return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{origin.device_type}.json"
    before = json.loads(path.read_text()) if path.exists() else None
    path.write_text(rendered(merge_rules(before, new, origin)))
    return path


def rendered(content: Record) -> str:
    """Return the content as JSON with one rule a line, so that changes of it can be read. Pure."""
    head = [f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in content.items() if key != "rules"]
    rules = ",\n".join(f"  {json.dumps(rule)}" for rule in content["rules"])
    return "{\n" + "".join(head) + f' "rules": [\n{rules}\n ]\n}}\n'
