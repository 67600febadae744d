"""`python -m vs_eval`."""

from typing import NoReturn

from vs_config.tuning import keep_freed_memory, wait_briefly

from vs_eval.app import main


def program() -> NoReturn:
    """Run the command line in a process of its own."""
    wait_briefly()
    keep_freed_memory()
    main()


if __name__ == "__main__":
    program()
