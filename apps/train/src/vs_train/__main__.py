"""`python -m vs_train vid2vid ...`: see `vs_train.cli`."""

import sys

from vs_train.cli import main

if __name__ == "__main__":
    sys.exit(main())
