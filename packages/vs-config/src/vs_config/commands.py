"""Programs: from a function to a command line whose every mistake is one line and exit status 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cyclopts

from vs_config.reporting import report_error


def run_command(command: Any, *errors: type[Exception], arguments: Sequence[str] | None = None) -> int:
    """Run a function, or an App of cyclopts, on a command line, and return the exit status.

    Args:
        command: What to run; what it returns is the exit status if it is a number.
        errors: What wrong input raises, beside errors of the system. `SystemExit` with a text is one of them.
        arguments: What follows the program's name; `sys.argv` unless given.
    """
    app = command if isinstance(command, cyclopts.App) else cyclopts.App(default_command=command)
    app.suppress_keyboard_interrupt = False
    try:
        status = app(arguments, print_error=False, exit_on_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        return report_error(" ".join(str(error).split()))
    except Exception as error:
        if not isinstance(error, (OSError, *errors)):
            raise
        return report_error(error)
    except KeyboardInterrupt:
        return report_error("stopped", status=130)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            return report_error(stop.code)
        raise
    return status if isinstance(status, int) else 0
