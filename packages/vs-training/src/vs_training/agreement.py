"""What processes that train together agree on: the worst that any has found, whose words to go by, one state."""

from collections import Counter

import torch
import vs_optim as optim
import vs_runtime as runtime
from vs_runtime.ranks import Ranks, collected, gathered, most

from vs_training.errors import NonFiniteError, VsTrainingError
from vs_training.saved import known_to_all
from vs_training.state import TrainState

_BY_HARM: tuple[optim.Finding, ...] = ("finite", "overflow", "not_finite")


def worst_finding(ranks: Ranks, own: optim.Finding | None) -> optim.Finding | None:
    """Return the worst that any process has found, so that all decide alike; None where nobody has waited for it."""
    if own is None or ranks.count == 1:
        return own
    (found,) = most(ranks, [_BY_HARM.index(own)])
    return _BY_HARM[int(found)]


def first_struck(ranks: Ranks, own: NonFiniteError, *, struck: bool) -> NonFiniteError:
    """Return the error of the first process that was struck itself; the others have only heard of it, and all ask.

    Where nobody knows of itself, it is that of the first process, and says nothing of clips: each has others.
    """
    if ranks.count == 1:
        return own
    told = collected(ranks, {**own.facts, "struck": struck})
    where = next((rank for rank, facts in enumerate(told) if facts["struck"]), None)
    facts = {name: value for name, value in told[where or 0].items() if name != "struck"}
    return NonFiniteError(**{**facts, "rank": where, "clip": None if where is None else facts["clip"]})


def require_one_step(ranks: Ranks, step: int) -> None:
    """See that all processes go on from the same step, and wait for all of them.

    Raises:
        VsTrainingError: they do not: files that one has written are not there for another.
    """
    last, first = most(ranks, [step, -step])
    if last != -first:
        what = f"processes go on from steps {-first:.0f} to {last:.0f}"
        raise VsTrainingError(f"{what}: all of them have to see the same files of the run")


def require_one_state(ranks: Ranks, state: TrainState) -> None:
    """See that all processes have learnt the same, bit for bit.

    Raises:
        VsTrainingError: they have not; it names the first tensor that differs, and where it does.
    """
    if ranks.count == 1:
        return
    own = runtime.fingerprints(known_to_all(state))
    every = gathered(ranks, torch.tensor(list(own.values()))).T.tolist()
    for name, values in zip(own, every, strict=True):
        usual, times = Counter(values).most_common(1)[0]
        if times < ranks.count:
            others = ", ".join(str(rank) for rank, value in enumerate(values) if value != usual)
            what = f"step {state.step}: {name} is not the same in all processes (rank {others} differs)"
            raise VsTrainingError(f"{what}: a fault of the machine or of a library; go on from a checkpoint")
