"""Help is quick: PyTorch is not imported for it."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from vs_eval.app import main
try:
    main(sys.argv[1:])
finally:
    print(f"PyTorch imported: {'torch' in sys.modules}")
"""


@pytest.mark.parametrize("arguments", [["--help"], ["few-shot", "--help"]])
def test_help_needs_no_pytorch(arguments):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("PyTorch imported: False\n")
