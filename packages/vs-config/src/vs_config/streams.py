"""Standard output and error that somebody has closed, or that have no room, and a run that outlives them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, cast

import attrs


@contextlib.contextmanager
def lasting_streams() -> Iterator[Lasting]:
    """Drop what can no longer be written to standard output and error, instead of raising, as long as this lasts.

    A run of hours must not end because whoever read its log did, nor because a name in it has characters that the
    stream's encoding lacks: they are escaped. Yields what stands for standard output, which knows
    whether something of it was lost: what is written there is a result, and not just progress.
    """
    _open_missing()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    previous = sys.stdout, sys.stderr
    output = Lasting(sys.stdout)
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, Lasting(sys.stderr))
    try:
        yield output
    finally:
        output.flush()
        sys.stdout, sys.stderr = previous


@contextlib.contextmanager
def dropped_streams() -> Iterator[None]:
    """Drop what is written to standard output and error as long as this lasts: another process speaks for this one."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


@attrs.define
class Lasting:
    """A stream that is no longer written to once that has failed.

    Attributes:
        lost: The failure; None while there was none.
    """

    _stream: TextIO
    lost: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        """Write, or drop, a text."""
        if self.lost is None:
            try:
                return self._stream.write(text)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        if self.lost is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def _lose(self, error: OSError | ValueError) -> None:
        if isinstance(error, ValueError) and not self._stream.closed:
            raise error  # something else, such as a character that the stream has no code for
        self.lost = error
        with contextlib.suppress(OSError, ValueError):  # for libraries that write by themselves, and Python at its end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's."""
        return getattr(self._stream, name)


def _open_missing() -> None:
    """Put the null device where the shell has closed a standard stream, so that no file of ours gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115, PTH123 - as long as the process
