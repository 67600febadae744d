"""Processes that end with the one that has started them, and that no signal ends before they are ready for it."""

import subprocess
import sys
from pathlib import Path

import pytest

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


HELD = """
import multiprocessing, signal, sys
from vs_config.processes import signals_held, start_fork_server, start_tracker

def tell(channel):
    channel.send(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))

if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe(duplex=False)
    start_fork_server() if sys.argv[1] == "forkserver" else start_tracker()
    with signals_held():
        process = multiprocessing.get_context(sys.argv[1]).Process(target=tell, args=(theirs,))
        process.start()
    held = set(ours.recv())
    process.join()
    print({signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= held, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to hold")
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_signals_are_held_from_the_first_moment_of_a_process(tmp_path: Path, method: str) -> None:
    """Also of the first one: what Python starts beside it lets two of them through."""
    program = tmp_path / "program.py"
    program.write_text(HELD)
    done = subprocess.run([sys.executable, str(program), method], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True set()\n", "")
