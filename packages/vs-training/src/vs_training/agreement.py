"""What processes that train together agree on: the worst finding of any of them, whose words to go by, one state."""

import vs_optim as optim
from vs_runtime.ranks import Ranks, most

from vs_training.errors import VsTrainingError

_BY_HARM: tuple[optim.Finding, ...] = ("finite", "overflow", "not_finite")


def worst_finding(ranks: Ranks, own: optim.Finding | None) -> optim.Finding | None:
    """Return the worst that any process has found, so that all decide alike; None where nobody has waited for it."""
    if own is None or ranks.count == 1:
        return own
    (found,) = most(ranks, [_BY_HARM.index(own)])
    return _BY_HARM[int(found)]


def require_one_step(ranks: Ranks, step: int) -> None:
    """See that all processes go on from the same step, and wait for all of them.

    Raises:
        VsTrainingError: they do not: files that one has written are not there for another.
    """
    last, first = most(ranks, [step, -step])
    if last != -first:
        what = f"processes go on from steps {-first:.0f} to {last:.0f}"
        raise VsTrainingError(f"{what}: all of them have to see the same files of the run")
