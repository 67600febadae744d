"""Ctrl-C and SIGTERM as a wish that a loop can see, instead of an exception in the middle of what it does."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import attrs


class StopNow(KeyboardInterrupt):
    """The first wish to stop, where there is nothing to finish: see `StopRequest.at_once`."""


@attrs.define
class StopRequest:
    """A request to stop the run, made or not.

    Attributes:
        requested: `SIGINT`, `SIGTERM` or `SIGHUP`, the first that arrived; None while nobody has asked.
    """

    requested: str | None = None
    _raises: bool = attrs.field(default=False, init=False)

    @property
    def exit_status(self) -> int:
        """The exit status that a shell expects of a process stopped so: 130, 143 or 129; 0 when nobody has asked."""
        return 0 if self.requested is None else 128 + signal.Signals[self.requested]

    @property
    def notice(self) -> str:
        """What to tell people while the step that must still end takes its time; empty when nobody has asked."""
        if self.requested is None:
            return ""
        return f"stopping after this step ({self.requested}); Ctrl-C stops at once"

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the first wish end what this context does, which has nothing to finish: it waits, or looks at data.

        Raises:
            StopNow: the wish is there, or arrives.
        """
        self._raises = True
        try:
            if self.requested is not None:
                raise StopNow
            yield
        finally:
            self._raises = False

    def note(self, number: int) -> None:
        """Take a signal, as `stop_requests` says."""
        if self.requested is None:
            self.requested = signal.Signals(number).name
            if self._raises:
                self._raises = False
                raise StopNow
        elif number == signal.SIGINT:
            raise KeyboardInterrupt


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block by `SystemExit(143)`, so that what is half done is undone. For the main thread only."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into `requested` for as long as the context lasts, then restore the old handlers.

    So is SIGHUP, with which a terminal ends, unless it is ignored already, which is what nohup asks for.

    The first signal only sets it: the loop finishes its step, saves what it has and returns. A SIGINT after any first
    signal raises KeyboardInterrupt at once, for those who cannot wait. A further SIGTERM changes nothing. Works in the
    main thread only, as Python's signal handlers do.
    """
    request = StopRequest()

    def handle(number: int, _: FrameType | None) -> None:
        request.note(number)

    previous = {number: signal.signal(number, handle) for number in _caught()}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _caught() -> tuple[signal.Signals, ...]:
    hangs_up = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hangs_up else []))
