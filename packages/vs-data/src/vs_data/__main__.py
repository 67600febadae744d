"""`python -m vs_data`: the command line of the package."""

import sys

from vs_data.cli import main

if __name__ == "__main__":
    sys.exit(main())
