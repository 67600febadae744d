"""A training state in a checkpoint: what is saved, how it is restored, and what older formats looked like."""

import textwrap
from collections.abc import Mapping
from typing import Any

import attrs
import torch
import vs_optim as optim
import vs_runtime as runtime
from torch import nn

from vs_training.errors import VsTrainingError
from vs_training.shards import load_weights, own_adam_state, whole_adam_state, whole_weights
from vs_training.state import TrainState

SHOWN_CHARACTERS = 160
"""Most of what PyTorch says of weights that do not fit: it names every one of them."""

EMA = "average"
"""The name of the generator's EMA in a checkpoint: it has always been called so."""


def state_to_save(state: TrainState) -> dict[str, Any]:
    """Return everything that a step changes, and the process's random state, as nested plain data and tensors.

    Where processes share optimizers and the EMA, all have to ask, and the first one gets everything.
    """
    return {
        **_in_every_process(state),
        EMA: whole_weights(state.generator_ema, state.ema_shards),
        "generator_optimizer": whole_adam_state(state.optimizers.generator, state.shards.generator),
        "discriminator_optimizer": whole_adam_state(state.optimizers.discriminator, state.shards.discriminator),
        "random": runtime.random_state(),
    }


def known_to_all(state: TrainState) -> dict[str, Any]:
    """Return what of it every process has alike: not random state, nor what processes share. Nobody is asked."""
    if state.ema_shards is not None:
        return _in_every_process(state)
    return {name: value for name, value in state_to_save(state).items() if name != "random"}


def _in_every_process(state: TrainState) -> dict[str, Any]:
    return {
        "generator": state.generator.state_dict(),
        "discriminator": state.discriminator.state_dict(),
        "scaling": optim.scaling_to_dict(state.scaling),
        # The stage of the curriculum and the learning rates are functions of the step; so is the position of the
        # loader, with the number of roll-backs.
        "step": state.step,
        "updates": state.updates,
        "roll_backs": state.roll_backs,
    }


def restore_state(state: TrainState, saved: Mapping[str, Any]) -> TrainState:
    """Load a saved state into the modules and optimizers of `state`; set the process's random state too.

    Everything is compared with what `state_to_save` would give now before anything is loaded. Nobody else is asked.

    Raises:
        VsTrainingError: something is missing, of another kind, dtype or shape, or is no number.
    """
    try:
        current = current_format(saved)
        runtime.check_fit(_template(state), current)
        state.generator.load_state_dict(current["generator"])
        state.discriminator.load_state_dict(current["discriminator"])
        load_weights(state.generator_ema, current[EMA])
        for network, optimizer in state.optimizers.items():
            own = own_adam_state(current[f"{network}_optimizer"], state.shards.of(network))
            optim.load_adam_state(optimizer, own)
        scaling = optim.scaling_from_dict(state.scaling, current["scaling"])
        runtime.restore_random_state(current["random"])
    except (RuntimeError, KeyError, optim.StateError, runtime.StateError) as error:
        what = f"the checkpoint does not fit the run's config.toml: {_in_brief(error)}"
        raise VsTrainingError(f"{what}; put back the file that it was trained with") from error
    counts = {name: current[name] for name in ("step", "updates", "roll_backs")}
    return attrs.evolve(state, scaling=scaling, **counts)


def _in_brief(error: Exception) -> str:
    return textwrap.shorten(str(error).strip().splitlines()[-1], SHOWN_CHARACTERS, placeholder=" ...")


def current_format(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved state as it would be saved now.

    Older ones have no count of roll-backs, and before that a state of loss scaling for each network by itself.
    """
    own = ("generator_scaler", "discriminator_scaler")
    current = {"roll_backs": 0, **{key: value for key, value in saved.items() if key not in own}}
    match saved:
        case {"scaling": _}:
            return current
        case {"generator_scaler": Mapping() as generator, "discriminator_scaler": Mapping() as discriminator}:
            scales = {
                "generator": {"skips_in_row": 0, **generator},
                "discriminator": {"skips_in_row": 0, **discriminator},
            }
            return {**current, "scaling": {**scales, "replays_total": 0}}
        case _:
            return current


def _template(state: TrainState) -> dict[str, Any]:
    """Return what a saved state of the same networks looks like, whatever was trained and drawn before it was saved."""
    random = runtime.random_state()
    words, counts, _ = random["python"]
    return {
        **_in_every_process(state),
        EMA: state.generator_ema.state_dict(),  # of what other processes have there are shapes
        "generator_optimizer": _adam_template(state.generator),
        "discriminator_optimizer": _adam_template(state.discriminator),
        "random": {
            **random,
            "python": (words, counts, runtime.Maybe(0.0)),
            "cuda": runtime.Every(torch.zeros(16, dtype=torch.uint8)),  # a GPU's state has 16 bytes
        },
    }


def _adam_template(network: nn.Module) -> dict[str, Any]:
    """Return Adam's state of a network, in which a parameter that has not been stepped has none."""
    return {
        "params": [
            runtime.Maybe({"step": 0, "exp_avg": average, "exp_avg_sq": average})
            for parameter in network.parameters()
            for average in [torch.empty_like(parameter, dtype=torch.float32, device="meta")]
        ]
    }
