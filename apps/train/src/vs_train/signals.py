"""Ctrl-C and SIGTERM as a wish that the training loop can see, instead of an exception in the middle of a step."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import attrs

_CAUGHT = (signal.SIGINT, signal.SIGTERM)


@attrs.define
class StopRequest:
    """Whether somebody has asked the run to stop.

    Attributes:
        requested: `SIGINT` or `SIGTERM`, the first that arrived; None while nobody has asked.
    """

    requested: str | None = None

    @property
    def exit_status(self) -> int:
        """The exit status that a shell expects of a process stopped so: 130 or 143; 0 when nobody has asked."""
        return 0 if self.requested is None else 128 + signal.Signals[self.requested]

    @property
    def notice(self) -> str:
        """What to tell people while the step that must still end takes its time; empty when nobody has asked."""
        if self.requested is None:
            return ""
        return f"stopping after this step ({self.requested}); Ctrl-C stops at once"


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into `requested` for as long as the context lasts, then restore the old handlers.

    The first signal only sets it: the loop finishes its step, writes a checkpoint and returns. A SIGINT after any first
    signal raises KeyboardInterrupt at once, for those who cannot wait. A further SIGTERM changes nothing. Works in the
    main thread only, as Python's signal handlers do.
    """
    request = StopRequest()

    def handle(number: int, _: FrameType | None) -> None:
        if request.requested is None:
            request.requested = signal.Signals(number).name
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, handle) for number in _CAUGHT}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
