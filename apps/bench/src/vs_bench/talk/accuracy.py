"""The effect on accuracy: what the stored experiment has found; see vs_bench.accuracy."""

import json
from pathlib import Path
from typing import Any

from vs_bench.results import RESULTS
from vs_bench.talk.outcome import Outcome
from vs_bench.talk.setting import Row, Setting


def measure(setting: Setting) -> Outcome:
    """Quote the experiment: it takes hours, and has a command of its own."""
    return quoted(newest(RESULTS, setting.device.type))


def newest(folder: Path, device: str) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the content of the newest stored experiment on a device, None if there is none."""
    contents = [(path.name, json.loads(path.read_text())) for path in sorted(folder.glob(f"accuracy-*-{device}.json"))]
    return max(contents, key=lambda one: one[1]["measured_at"], default=None)


def quoted(found: tuple[str, dict[str, Any]] | None) -> Outcome:
    """Return the statements of an experiment. Pure."""
    if found is None:
        return Outcome(setting="", left_out=("no stored experiment on this device: hatch run bench:accuracy --store",))
    name, content = found
    statements = (statement for one in content["experiments"] for statement in one["statements"])
    return Outcome(setting=f"Quoted from {name}, measured by `{content['command']}`.", findings=tuple(statements))


ROW = Row(
    name="accuracy",
    title="Effect on accuracy",
    says="Curves of losses and of quality in O0 and O1 lie over each other, for vid2vid and for few-shot vid2vid.",
    figure="curves, no figure",
    measure=measure,
    share=0,
)
