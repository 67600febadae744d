"""Exports as those run them who have none of our packages."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ALONE = """
import runpy, sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("vs_"):
            raise ImportError(f"{name} is refused")
sys.meta_path.insert(0, Without())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_alone(directory: Path, given, tmp_path):
    """Run the example of an export in a process that has none of our packages."""
    np.savez(tmp_path / "inputs.npz", **{name: x.numpy() for name, x in given.items()})
    (example,) = (directory / "examples").iterdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", ALONE, example, tmp_path / "inputs.npz", tmp_path / "frames.npy"],
        env=clean,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.load(tmp_path / "frames.npy")
