"""`python -m vs_train vid2vid ...`: see `vs_train.cli`."""

import sys

from vs_config.tuning import wait_briefly

from vs_train.cli import main


def program() -> int:
    """Run the command line in a process of its own, and return the exit status."""
    wait_briefly()
    return main()


if __name__ == "__main__":
    sys.exit(program())
