"""What can go wrong in an evaluation, in one line each."""

import contextlib
from collections.abc import Iterator

from vs_config import shown

_SHOWN = 200
_LESS = "choose fewer --frames or another --device, or evaluate a run of smaller frames (data.height and data.width)"


class VsEvalError(Exception):
    """Root of the errors of this app: the caller's mistake, or a run that cannot be evaluated."""


class OptionError(VsEvalError):
    """A command-line option with a value that cannot be.

    Attributes:
        option: its name, dashes included.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option


@contextlib.contextmanager
def memory_explained() -> Iterator[None]:
    """Say what to do where memory does not suffice, however the libraries say so.

    Raises:
        VsEvalError: it does not.
    """
    from vs_runtime import is_out_of_memory  # here, so that help is quick

    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        what = shown(error, _SHOWN) or type(error).__name__
        raise VsEvalError(f"memory is too small ({what}): {_LESS}") from None
