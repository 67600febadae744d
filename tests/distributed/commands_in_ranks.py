"""Commands of `vs_eval` as processes run them together."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import attrs
from vs_eval.app import main
from vs_runtime.ranks import Ranks


@attrs.frozen(kw_only=True)
class Answer:
    """What became of a command: its exit status, and what it has said."""

    status: int
    out: str
    err: str


def run(arguments: Sequence[str], place: Path) -> Answer:
    """Run a command in a directory."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    hasty = mock.patch.multiple("vs_eval.agreement", STEPS=1, TRAINING_FRAMES=2)  # what readers cost is not the matter
    with hasty, contextlib.chdir(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Answer(status=status, out=out.getvalue(), err=err.getvalue())


def run_together(ranks: Ranks, arguments: Sequence[str], place: Path) -> Answer:
    """Run a command in a process that is a rank already."""
    with mock.patch("vs_eval.sharing.joined", return_value=contextlib.nullcontext(ranks)):
        return run(arguments, place)
