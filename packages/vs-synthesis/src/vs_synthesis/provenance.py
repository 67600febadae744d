"""Where a model comes from, as far as its run tells."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vs_config import load_config
from vs_runtime.run_directory import RunDirectory, read_environment
from vs_training.config import TrainConfig
from vs_training.fixed import fixed_part
from vs_training.presets import Preset, list_presets


def provenance_of(run: RunDirectory, config: TrainConfig, step: int, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model says of its training, without any path of the machine.

    Args:
        run: the run.
        config: its configuration.
        step: training step of the checkpoint.
        state: what that holds.

    Raises:
        RunDirectoryError: the run's environment.json is damaged.
    """
    facts = training_facts(run)
    updates = state.get("updates")
    return {
        "run": run.path.resolve().name,
        "preset": preset_of(config),
        "steps": step,
        **({"updates": updates} if type(updates) is int else {}),
        **({} if config.init.from_ is None else {"begun_from": Path(config.init.from_).name}),
        "data": config.data.kind,
        "level": config.precision.level,
        **_loss_scales(state),
        "revision": _revision(facts),
        "training": facts,
    }


def training_facts(run: RunDirectory) -> Mapping[str, Any]:
    """Read when a run was begun and resumed, on what, and with which revision, as its environment.json says.

    Raises:
        RunDirectoryError: the file is no longer what it was when the run was opened.
    """
    # Fractions as text: nobody writes any there but by hand, and one might be infinite.
    known = json.loads(json.dumps(read_environment(run)), parse_float=str, parse_constant=str)
    return {key: known[key] for key in ("started", "resumed", "environment") if key in known}


def preset_of(config: TrainConfig) -> str | None:
    """Return the name of the preset that a configuration trains, whatever its seed and precision; None: of none."""
    wanted = _comparable(config)
    return next((preset.name for preset in list_presets() if _trains(preset, wanted)), None)


def _trains(preset: Preset, wanted: Mapping[str, Any]) -> bool:
    return _comparable(load_config(TrainConfig, preset.document, preset.name)) == wanted


def _comparable(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in fixed_part(config).items() if key not in ("seed", "precision")}


def _loss_scales(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what losses were multiplied by when the state was saved, where they were."""
    match state.get("scaling"):
        case {"generator": {"scale": float(generator)}, "discriminator": {"scale": float(discriminator)}}:
            scales = {"generator": generator, "discriminator": discriminator}
        case _:
            return {}
    return {} if all(scale == 1.0 for scale in scales.values()) else {"loss_scales": scales}


def _revision(facts: Mapping[str, Any]) -> str | None:
    match facts.get("environment"):
        case {"git": {"revision": str(revision)}}:
            return revision
        case _:
            return None
