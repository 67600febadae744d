"""What a report was made from, for its page and its JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Facts:
    """Facts on what a report was made from, which go into report.json as they are.

    Paths begin at the working directory, or with the name of the run where that is elsewhere: a report can be given
    away.

    Attributes:
        command: what repeats the evaluation.
        measured: when that was, ISO 8601.
        run: the run directory.
        config: its configuration file.
        checkpoint: the checkpoint's directory.
        step: the checkpoint's training step.
        device: what the generator ran on.
        weights: which weights were evaluated.
        data: the kind of the data source.
        fps: frames a second of the videos.
        environment: versions, revision and machine of the evaluation.
        training: when the run was begun and resumed, each with versions, revision and machine.
        notices: what went otherwise than asked for.
    """

    run: str
    config: str
    checkpoint: str
    step: int
    device: str
    weights: str
    data: str
    fps: float = 10.0
    command: str = ""
    measured: str = ""
    environment: Mapping[str, Any] = attrs.field(factory=dict)
    training: Mapping[str, Any] = attrs.field(factory=dict)
    notices: tuple[str, ...] = ()


def page_title(facts: Facts) -> str:
    """Return the run's name and the checkpoint's step."""
    return f"{Path(facts.run).name}, step {facts.step}"


def page_facts(facts: Facts) -> dict[str, str]:
    """Return what the page says at its end of how it was made."""
    return {
        "command": facts.command,
        "run": facts.run,
        "configuration": facts.config,
        "checkpoint": facts.checkpoint,
        "weights": facts.weights,
        "data": facts.data,
        "device": facts.device,
        **{f"version of {name}": str(version) for name, version in facts.environment.get("packages", {}).items()},
    }


def json_facts(facts: Facts) -> dict[str, Any]:
    """Return the facts as the JSON says them."""
    return {
        "command": facts.command,
        "measured": facts.measured,
        "run": facts.run,
        "config": facts.config,
        "checkpoint": {"path": facts.checkpoint, "step": facts.step},
        "weights": facts.weights,
        "data": facts.data,
        "device": facts.device,
        "notices": list(facts.notices),
        "environment": dict(facts.environment),
        "training": dict(facts.training),
    }
