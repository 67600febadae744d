"""What processes that train together agree on: the worst that any has found, whose words to go by, one state."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import torch
import vs_optim as optim
import vs_runtime as runtime
from vs_runtime.ranks import Ranks, collected, gathered, most

from vs_training.errors import NonFiniteError, UnequalStatesError, VsTrainingError
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


def require_one_state(ranks: Ranks, state: TrainState, *, since: int | None = None) -> None:
    """See that all processes have learnt the same, bit for bit.

    Args:
        ranks: the processes.
        state: what one of them has learnt.
        since: the step at which it was the same last, if that is known.

    Raises:
        UnequalStatesError: they have not; it names the first tensor that differs, and where it does.
    """
    if ranks.count == 1:
        return
    own = runtime.fingerprints(known_to_all(state))
    found = _unequal_names(ranks, list(own)) or _unequal_values(ranks, own)
    if found is not None:
        name, who = found
        before = "" if since is None else f", and at step {since} all was"
        what = f"step {state.step}: {name} is not the same in all processes ({who}){before}"
        raise UnequalStatesError(f"{what}: a fault of the machine or of a library")


def _unequal_names(ranks: Ranks, own: list[str]) -> tuple[str, str] | None:
    """Return the first tensor that not all have, and who differs; what is as long everywhere is compared first."""
    (number,) = runtime.fingerprints(own).values()
    if len(set(gathered(ranks, torch.tensor(number)).tolist())) == 1:
        return None
    every = collected(ranks, own)
    name = next(name for names in every for name in names if any(name not in others for others in every))
    return name, _who_differs([name in names for names in every])


def _unequal_values(ranks: Ranks, own: Mapping[str, int]) -> tuple[str, str] | None:
    every = gathered(ranks, torch.tensor(list(own.values()))).T.tolist()
    unequal = ((name, values) for name, values in zip(own, every, strict=True) if len(set(values)) > 1)
    return next(((name, _who_differs(values)) for name, values in unequal), None)


def _who_differs(values: Sequence[Hashable]) -> str:
    """Say which processes differ from most, or from one another where there is no such thing. Pure."""
    groups = [
        [rank for rank, value in enumerate(values) if value == each]
        for each, _ in Counter(values).most_common()  # the first that was met comes first of those that are as common
    ]
    several = 2 * len(groups[0]) <= len(values)
    different = groups if several else [sorted(rank for group in groups[1:] for rank in group)]
    words = [", ".join(map(str, group)) for group in different]
    return f"ranks {' and '.join(words)} differ" if several or len(different[0]) > 1 else f"rank {words[0]} differs"
