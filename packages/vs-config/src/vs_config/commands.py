"""Programs: from a function to a command line whose every mistake is one line and an exit status."""

import functools
import itertools
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, get_origin

import cyclopts

from vs_config.errors import Problem, refuse, refuse_choice
from vs_config.fields import Range
from vs_config.options import option_number, option_path
from vs_config.reporting import report_error
from vs_config.signals import ended_by_sigterm
from vs_config.streams import lasting_streams

EXIT_INPUT = 2
"""Exit status when the input is wrong."""

FOLLOWED = cyclopts.Parameter(consume_multiple=1, negative="")
"""An option of a command line that takes as many values as follow, at least one: none is no way to leave it out."""

ErrorStatuses = Iterable[tuple[type[Exception], int]]
"""Classes of errors that a message explains, each with its exit status; of several that fit the first counts."""


class Report(Protocol):
    """The way in which people are told of an error: see `report_error`."""

    def __call__(self, error: BaseException | str, *, status: int, label: str) -> int:
        """Tell them, and return the exit status."""


def option_paths(_: Any, tokens: Sequence[cyclopts.Token]) -> tuple[Path, ...]:
    """Return the paths that the words behind an option say, as `option_path` does: a converter of cyclopts."""
    return tuple(option_path(token.value) for token in tokens)


def _no_statuses() -> ErrorStatuses:
    return ()


def run_command(
    command: Any,
    *errors: type[Exception],
    statuses: Callable[[], ErrorStatuses] = _no_statuses,
    stopped: str = "stopped",
    label: str = "error",
    arguments: Sequence[str] | None = None,
    report: Report = report_error,
) -> int:
    """Run a function, or an App of cyclopts, on a command line, and return the exit status.

    Whatever is wrong with the input is a line on stderr and exit status 2. Ctrl-C is a line and 130; SIGTERM leaves by
    `SystemExit(143)`, so that what is half done is undone. Standard output that is closed early ends nothing, and is
    status 2 at the end.

    Args:
        command: What to run; what it returns is the exit status if it is a number.
        errors: What wrong input raises, beside errors of the system. `SystemExit` with a text is one of them.
        statuses: Yields more of them, with other statuses too; asked only when an error has come up, so that a program
            need not import for `--help` what can go wrong later.
        stopped: What to say when Ctrl-C has stopped the program.
        label: What the lines begin with.
        arguments: What follows the program's name; `sys.argv` unless given.
        report: Tells people of errors, each a line on stderr unless given.
    """
    with lasting_streams() as output, ended_by_sigterm():
        status = _run(command, errors, statuses, stopped, functools.partial(report, label=label), arguments)
    if output.lost is not None and status == 0:
        return report_error(f"standard output could not be written: {output.lost}", status=EXIT_INPUT, label=label)
    return status


def status_of(error: Exception, statuses: ErrorStatuses) -> int | None:
    """Return the exit status for an error that a message explains, None for a defect of the program."""
    known: ErrorStatuses = itertools.chain(statuses, [(OSError, EXIT_INPUT)])
    return next((status for kind, status in known if isinstance(error, kind)), None)


def option_of(numbers: Range, *, several: bool = False, words: Sequence[str] = ()) -> cyclopts.Parameter:
    """Make an option of a command line that takes a number, several, or one of `words`.

    The library would round 1.5, and take nan.
    """

    def convert(_: Any, tokens: Sequence[cyclopts.Token]) -> Any:
        values = tuple(option_number(token.value, numbers, words) for token in tokens)
        return values if several else values[0]

    return cyclopts.Parameter(converter=convert)


def _run(
    command: Any,
    errors: Iterable[type[Exception]],
    statuses: Callable[[], ErrorStatuses],
    stopped: str,
    report: Callable[..., int],
    arguments: Sequence[str] | None,
) -> int:
    app = command if isinstance(command, cyclopts.App) else cyclopts.App(default_command=command)
    app.suppress_keyboard_interrupt = False
    try:
        result = app(arguments, print_error=False, exit_on_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        return report(_in_one_form(error), status=EXIT_INPUT)
    except KeyboardInterrupt:
        return report(stopped, status=128 + signal.SIGINT)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            return report(stop.code, status=EXIT_INPUT)
        raise
    except Exception as error:
        status = status_of(error, itertools.chain([(kind, EXIT_INPUT) for kind in errors], statuses()))
        if status is None:
            raise
        return report(error, status=status)
    return result if isinstance(result, int) else 0


_WORDS: dict[Any, str] = {int: "a whole number", float: "a number"}


def _in_one_form(error: cyclopts.CycloptsError) -> str:
    """Say of an option's value what is said of a configuration's; of all else what the library says, in one line."""
    text = " ".join(str(error).split()).rstrip(".")  # the library's texts have paragraphs
    match error:
        case cyclopts.ConsumeMultipleError(argument=cyclopts.Argument() as argument, keyword=name, actual_count=0):
            return str(Problem(name or _name_of(argument), "nothing follows it; name what it is for, or leave it out"))
        case cyclopts.CoercionError(argument=cyclopts.Argument() as argument, msg=str() as message):
            return str(Problem(_name_of(argument), message))
        case cyclopts.CoercionError(argument=cyclopts.Argument() as argument, token=cyclopts.Token(value=value)):
            kind = error.target_type
            if get_origin(kind) is Literal:
                return str(refuse_choice(_name_of(argument), get_args(kind), value))
            return str(refuse(_name_of(argument), _WORDS[kind], value)) if kind in _WORDS else text
        case _:
            return text


def _name_of(argument: cyclopts.Argument) -> str:
    """Return an option as it was typed, or what help calls an argument."""
    typed = (token.keyword for token in argument.tokens)
    return next(filter(None, typed), None) or argument.name.lstrip("-").upper()
