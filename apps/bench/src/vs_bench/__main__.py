"""The command line: `python -m vs_bench step`, `stream`, `operators`, `tables`, `scaling`, `distributed`, ...

What measures is imported only once there is something to measure, so that help is quick.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter
from vs_config.commands import EXIT_INPUT, ErrorStatuses, run_command
from vs_config.tuning import keep_freed_memory, wait_briefly

from vs_bench import __version__

app = App(
    name="vs-bench",
    help="Measure: a training step, how it grows, many ranks, a stream, operators, the talk, data, and metrics.",
    version=__version__,
)

Words = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]
"""What follows the name of a command, its options included: the command itself knows them."""


@app.command(help_flags=(), version_flags=())
def step(*words: Words) -> Any:
    """Measure one training step in O0 and O1, and how much of what the machine can do it gets."""
    from vs_bench.step.command import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def stream(*words: Words) -> Any:
    """Measure a frame of a stream, its first one and memory, beside the roll-out that training validates with."""
    from vs_bench.stream import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def operators(*words: Words) -> Any:
    """Measure every operator in every implementation, beside plain PyTorch; write the rules of the choice if asked."""
    from vs_bench.operators.command import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def scaling(*words: Words) -> Any:
    """Measure how time and memory of a step grow with pixels, batch, length of clips, and filters."""
    from vs_bench.scaling.command import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def distributed(*words: Words) -> Any:
    """Measure what several processes cost a training step here, and compute what many would cost elsewhere."""
    from vs_bench.distributed.command import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def busy(*words: Words) -> Any:
    """Measure what other processes at work cost a training step, and whether it is no more than they take."""
    from vs_bench.busy import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def data(*words: Words) -> Any:
    """Measure how quickly clips are read from folders, videos and shards, beside what a training step takes."""
    from vs_bench.data import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def metrics(*words: Words) -> Any:
    """Plant faults of known size into true videos, and ask each metric what it sees of them."""
    from vs_bench.ruler.command import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def tables(*words: Words) -> Any:
    """Measure the talk row by row: its numbers beside those of this machine."""
    from vs_bench.talk.command import app as command

    return _call(command, words)


@app.command(help_flags=(), version_flags=())
def accuracy(*words: Words) -> Any:
    """Ask whether training in O1 ends where training in O0 does: several seeds of each, and planted faults."""
    from vs_bench.accuracy.command import app as command

    return _call(command, words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, `sys.argv` unless given, and return the exit status."""
    return run_command(app, statuses=_error_statuses, arguments=arguments)


def _call(command: App, words: Sequence[str]) -> Any:
    """Run a command as `run_command` runs an app, so that it is the one that turns errors into exit statuses."""
    return command(words, print_error=False, exit_on_error=False, result_action="return_value")


def _error_statuses() -> ErrorStatuses:
    from vs_bench.errors import INPUT_ERRORS

    return ((error, EXIT_INPUT) for error in INPUT_ERRORS)


def program() -> int:
    """Run the command line in a process of its own, as training has one, and return the exit status.

    Frames of streams are told in units of plain PyTorch as it comes, which would be quicker with memory that is kept.
    """
    wait_briefly()
    keep_freed_memory(wanted=sys.argv[1:2] != ["stream"])
    return main()


if __name__ == "__main__":
    sys.exit(program())
