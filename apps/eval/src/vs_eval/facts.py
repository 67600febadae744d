"""What a report was made from."""

from collections.abc import Mapping
from typing import Any, assert_never

import attrs


@attrs.frozen(kw_only=True)
class RunFacts:
    """Facts on a run that was evaluated.

    Attributes:
        path: its directory.
        config: its configuration file.
        checkpoint: the checkpoint's directory.
        step: the checkpoint's training step.
        training: when the run was begun and resumed, each with versions, revision and machine.
    """

    path: str
    config: str
    checkpoint: str
    step: int
    training: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ModelFacts:
    """Facts on a model directory that was evaluated.

    Attributes:
        path: the directory.
        step: the training step of its weights; None: nobody knows.
        provenance: what it says of where it comes from.
    """

    path: str
    step: int | None
    provenance: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Facts:
    """Facts on what a report was made from, which go into report.json as they are.

    Paths begin at the working directory, or with the name of the directory where that is elsewhere: a report can be
    given away.

    Attributes:
        what: the run or model.
        command: what repeats the evaluation.
        measured: when that was, ISO 8601.
        device: what the generator ran on.
        weights: which weights were evaluated.
        data: the kind of the data source.
        fps: frames a second of the videos.
        environment: versions, revision and machine of the evaluation.
        notices: what went otherwise than asked for.
    """

    what: RunFacts | ModelFacts
    device: str
    weights: str
    data: str
    fps: float = 10.0
    command: str = ""
    measured: str = ""
    environment: Mapping[str, Any] = attrs.field(factory=dict)
    notices: tuple[str, ...] = ()


def with_notices(facts: Facts, *notices: str) -> Facts:
    """Return facts with more notices."""
    return attrs.evolve(facts, notices=(*facts.notices, *notices))


def step_title(path: str, step: int | None) -> str:
    """Return what a run or model is called, with the training step of its weights."""
    return path if step is None else f"{path}, step {step}"


def json_facts(facts: Facts) -> dict[str, Any]:
    """Return the facts as the JSON says them."""
    return {
        "command": facts.command,
        "measured": facts.measured,
        **_json_origin(facts.what),
        "weights": facts.weights,
        "data": facts.data,
        "device": facts.device,
        "notices": list(facts.notices),
        "environment": dict(facts.environment),
    }


def _json_origin(what: RunFacts | ModelFacts) -> dict[str, Any]:
    match what:
        case RunFacts():
            return {
                "run": what.path,
                "config": what.config,
                "checkpoint": {"path": what.checkpoint, "step": what.step},
                "training": dict(what.training),
            }
        case ModelFacts():
            return {"model": what.path, "provenance": dict(what.provenance)}
        case _:
            assert_never(what)
