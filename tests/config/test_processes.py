"""Processes that end with the one that has started them."""

import subprocess
import sys

PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
time.sleep(60)
"""
CHILD = """
import sys, threading, time
from vs_config.processes import end_with_parent
threading.Thread(target=end_with_parent, args=(int(sys.argv[1]),), daemon=True).start()
print("there", flush=True)
time.sleep(60)
"""


def test_a_process_ends_with_the_one_that_has_started_it() -> None:
    """However that ends; the child holds the pipe open as long as it lives."""
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "there\n"
        parent.kill()
        rest, _ = parent.communicate(timeout=10)
    assert rest == ""
