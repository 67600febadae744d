"""What can go wrong in training, as data. Every message is one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class VsTrainingError(Exception):
    """Root of the errors of this package: the caller's mistake or a run that failed, never a defect of the program."""


class PresetError(VsTrainingError):
    """A preset that does not exist.

    Attributes:
        name: The name asked for.
        known: The names there are.
    """

    def __init__(self, message: str, *, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(message)


class UnequalStatesError(VsTrainingError):
    """Processes that train together have learnt different things: what one of them has must not be saved."""


class NonFiniteError(VsTrainingError):
    """Training has diverged: something is not finite that no smaller loss scale cures.

    Attributes:
        step: The training step, counted from 0: the steps done before it.
        what: The loss term, the weight or the gradient, in words.
        problem: What is wrong with it, in words.
        network: `generator` or `discriminator`, when known.
        layer: `NETWORK.PARAMETER` that is the first to be not finite, or to have such a gradient, when known.
        frame: Index of the frame within its clip, when known.
        clip: The name of the clip (sequence and first frame), when known.
        rank: The process that it struck, of several, when known.
        advice: What to do about it, in words; empty where there is nothing to say.
    """

    def __init__(
        self,
        *,
        step: int,
        what: str,
        problem: str = "is not finite",
        network: str | None = None,
        layer: str | None = None,
        frame: int | None = None,
        clip: str | None = None,
        rank: int | None = None,
        advice: str = "",
    ) -> None:
        self.step = step
        self.what = what
        self.problem = problem
        self.network = network
        self.layer = layer
        self.frame = frame
        self.clip = clip
        self.rank = rank
        self.advice = advice
        places = [("network", network), ("layer", layer), ("frame", frame), ("clip", clip), ("rank", rank)]
        where = ", ".join(f"{name} {value}" for name, value in places if value is not None)
        message = f"step {step}: {what} {problem}" + (f" ({where})" if where else "")
        super().__init__(f"{message}; {advice}" if advice else message)

    def advise(self, advice: str) -> NonFiniteError:
        """Return the same error with another advice."""
        return NonFiniteError(**self.facts, advice=advice)

    @property
    def facts(self) -> dict[str, Any]:
        """All that it knows but the advice, as plain data."""
        names = ("step", "what", "problem", "network", "layer", "frame", "clip", "rank")
        return {name: getattr(self, name) for name in names}
