"""What becomes of a run whose training has diverged: which checkpoint is good, what to do, and going back to it.

States are looked through before they are saved (`require_finite`), so that all checkpoints come from before the
divergence. A run that goes back to one would diverge again if it saw the same clips with the same weights; so the order
of the clips depends on the number of roll-backs, which every later checkpoint remembers.
"""

import attrs
import vs_runtime as runtime
from vs_runtime.ranks import told
from vs_runtime.run_directory import RunDirectory
from vs_training.config import TrainConfig
from vs_training.errors import NonFiniteError
from vs_training.state import TrainState

from vs_train.beginning import begin
from vs_train.commands import resume_command
from vs_train.resuming import newest_checkpoint, state_of
from vs_train.setup import Prepared, prepare


def data_seed(config: TrainConfig, roll_backs: int) -> int:
    """Return the seed of the order of the clips; another one after each roll-back."""
    return runtime.derive_seed(config.seed, "data", *([roll_backs] if roll_backs else []))


def may_roll_back(config: TrainConfig, roll_backs: int) -> bool:
    """Return whether a run that has gone back `roll_backs` times may do so again."""
    return config.run.on_divergence == "roll-back" and roll_backs < config.run.max_roll_backs


def roll_back(prepared: Prepared, run: RunDirectory, roll_backs: int) -> tuple[TrainState, str]:
    """Go back to the newest intact checkpoint for the `roll_backs`-th time; return its state, and where it is from.

    Before the first checkpoint that is the state in which the run began. Of several processes the first one says which.

    Raises:
        NoCheckpoint: there are checkpoints, and all of them are damaged.
        DamagedCheckpoint: this process cannot read the one that the first has read.
    """
    ranks = prepared.recipe.ranks
    loaded = newest_checkpoint(run) if ranks.first else None
    name = told(ranks, None if loaded is None else loaded.path.name)
    if name is None:
        state, place = begin(prepare(prepared.config, check=False, ranks=ranks)).state, "its beginning"
    else:
        loaded = loaded or runtime.load_checkpoint(run.checkpoints / name)
        state, place = state_of(run, prepared, loaded), str(loaded.path)
    return attrs.evolve(state, roll_backs=roll_backs), place


def with_advice(error: NonFiniteError, config: TrainConfig, run: RunDirectory, roll_backs: int) -> NonFiniteError:
    """Return the error of a run that stops, with the checkpoint to go on from and the command that does."""
    tried = f"{roll_backs} roll-back{'s' if roll_backs > 1 else ''} did not help; " if roll_backs else ""
    settings = "a lower learning rate, a clip norm or level O0"
    try:
        path = runtime.load_latest(run.checkpoints).path
    except runtime.NoCheckpoint as missing:
        found = "no checkpoint from before it is intact" if missing.skipped else "there is no checkpoint from before it"
        return error.advise(f"{tried}{found}: start a run with {settings}")
    again = f"run.max_roll_backs={max(config.run.max_roll_backs, roll_backs + 3)}"
    command = resume_command(config.generator.kind, run, "run.on_divergence=roll-back", again)
    return error.advise(f"{tried}{path} is good: go on from it, with other clips when it diverges again, by: {command}")
