"""docs/the-talk.md, made of what is stored: every row of the talk, its figures beside ours.

Everything here is pure but what reads the stored results.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vs_bench.talk.outcome import Line, Outcome, from_content, interval, written
from vs_bench.talk.rows import ROWS
from vs_bench.talk.setting import Row

DEVICES = {"cpu": "CPU", "cuda": "GPU"}
HEAD = """\
# The talk, row by row

The talk "Mixed Precision Training for Video Synthesis" (Ting-Chun Wang, NVIDIA) trains vid2vid and few-shot vid2vid on
a DGX-1 with V100 GPUs of 32 GB and says how to make it faster. Here each of its figures stands beside ours, whether it
holds or not. `hatch run bench:tables` measures all rows in ten minutes, `hatch run bench:tables ROW` one of them;
`--store` keeps what was measured, and `hatch run figures` makes this page of it: do not edit it.

A ratio *holds* if its whole 95 % interval reaches the talk's figure, it *does not hold* if none of it does, and else
one *cannot tell*. Times come with their quartiles. Everything that is compared was run in turns in one process. A CPU
is no V100: what only a GPU has, launches of kernels for one, no CPU can bear out.
"""
TAIL = """\
## What else the talk changes

| the talk | here |
|---|---|
| instance norm in the label encoder of the weight generator: `eps = 0.1` instead of `1e-5` | \
`generator.weights.label_eps = 0.1` by default; `hatch run eval:numerics` shows what 16 bits make of a trained \
network |
| `apex.optimizers.FusedAdam` | `optim.generator.impl = "auto"`: NVIDIA's apex where it is installed, else PyTorch's \
fused Adam |
| `set_affinity(args.local_rank)` | `run.affinity.policy = "unique"`; the plan and its reasons stand in the run's log |
| `torch.utils.checkpoint` in residual blocks | `memory.checkpoint = "blocks"`, or `"all"` for the encoders too |

Charts of the talk that print no number have no row.
"""


def read_stored(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the stored results by row and device."""
    found = {}
    for row in ROWS:
        for device in DEVICES:
            path = folder / f"talk-{row.name}-{device}.json"
            if path.is_file():
                found[row.name, device] = json.loads(path.read_text())
    return found


def page_of(folder: Path) -> str:
    """Return the page of what is stored in a folder."""
    stored = read_stored(folder)
    parts = [HEAD, summary(stored), *(section(row, stored) for row in ROWS), TAIL]
    return "\n".join(parts)


def summary(stored: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """Return the table of all rows in a line each."""
    heads = ["row", "the talk", *(f"here, {name}" for name in DEVICES.values())]
    lines = [row_of_table(heads), row_of_table(["---"] * len(heads))]
    for row in ROWS:
        outcomes = [
            from_content(stored[row.name, device]) if (row.name, device) in stored else None for device in DEVICES
        ]
        keys = [None if outcome is None else key_line(outcome) for outcome in outcomes]
        cells = [in_short(outcome, key) for outcome, key in zip(outcomes, keys, strict=True)]
        lines.append(row_of_table([f"[{row.title}](#{anchor(row.title)})", row.figure, *cells]))
    return "\n".join(lines) + "\n"


def key_line(outcome: Outcome) -> Line | None:
    """Return the line that says the most of a row: the last one with the talk's figure, one that was measured first."""
    with_talk = [line for line in outcome.lines if line.talk]
    measured = [line for line in with_talk if line.value is not None]
    return next(reversed(measured or with_talk), None)


def in_short(outcome: Outcome | None, key: Line | None) -> str:
    """Say in a few words what a row came to on a device."""
    if outcome is None:
        return "not measured"
    if key is None:
        return "see there"
    if key.value is None:
        return key.note
    return ": ".join(part for part in (written(key.value, key.unit), key.verdict) if part)


def section(row: Row, stored: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """Return the part of the page about a row."""
    parts = [f"## {row.title}\n", f"The talk: {row.says}\n"]
    for device, name in DEVICES.items():
        if (row.name, device) in stored:
            parts += measured_on(row, device, name, stored[row.name, device])
    if len(parts) == 2:
        parts.append(f"Not measured yet: `hatch run bench:tables {row.name}`.\n")
    return "\n".join(parts)


def measured_on(row: Row, device: str, name: str, content: Mapping[str, Any]) -> list[str]:
    """Return the part of a row about a device: what was measured, the table, what follows, the plot, and where from."""
    outcome = from_content(content)
    parts = [f"### {row.title}: {name}\n", outcome.setting + "\n"]
    if outcome.lines:
        parts.append(table_of(outcome))
    remarks = (*outcome.findings, *(f"Left out: {left}." for left in outcome.left_out))
    parts += ["\n".join(f"- {remark}" for remark in remarks) + "\n"] if remarks else []
    if outcome.curve is not None:
        parts.append(f"![{outcome.curve.title}](benchmarks/talk-{row.name}-{device}.png)\n")
    return [*parts, provenance(content) + "\n"]


def table_of(outcome: Outcome) -> str:
    """Return the table of a row in Markdown."""
    heads = ["", "the talk", "here", "interval", "holds?", ""]
    rows = [
        [line.what, line.talk, written(line.value, line.unit), interval(line), line.verdict, line.note]
        for line in outcome.lines
    ]
    if not any(line.note for line in outcome.lines):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    return "\n".join(row_of_table(row) for row in (heads, ["---"] * len(heads), *rows)) + "\n"


def provenance(content: Mapping[str, Any]) -> str:
    """Say by which command, when, of which revision and on which machine something was measured."""
    machine = content["machine"]
    git = machine["git"]
    revision = "" if git is None else f", revision {git['revision'][:10]}{'-dirty' * bool(git['dirty'])}"
    where = ", ".join(
        [f"{machine['cpu']} with {machine['cpus_usable']} CPUs", *(gpu["name"] for gpu in machine["gpus"])]
    )
    day = content["measured_at"][:10]
    return f"`{content['command']}`, {day}, PyTorch {machine['packages']['torch']}, {where}{revision}."


def row_of_table(cells: list[str]) -> str:
    """Return a line of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def anchor(title: str) -> str:
    """Return what a heading is linked to by."""
    return "".join(one for one in title.lower() if one.isalnum() or one in " -").replace(" ", "-")
