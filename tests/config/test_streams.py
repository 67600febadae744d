"""Standard streams that fail: what is written there is dropped, and the run goes on."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from vs_config.streams import Lasting, lasting_streams


class Broken(io.StringIO):
    """A stream whose reader has gone, or that is full."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tries = 0

    def write(self, _: str, /) -> int:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left"), OSError(5, "EIO")])
def test_what_cannot_be_written_is_dropped(error: OSError) -> None:
    broken = Broken(error)
    stream = Lasting(broken)
    assert stream.write("a line\n") == 7
    assert stream.write("another") == 7
    stream.flush()
    assert (broken.tries, stream.lost) == (1, error)
    assert stream.isatty() is False


def test_a_closed_stream_is_one_that_cannot_be_written() -> None:
    closed = io.StringIO()
    closed.close()
    stream = Lasting(closed)
    stream.write("a line")
    assert isinstance(stream.lost, ValueError)


def test_other_errors_are_told() -> None:
    with pytest.raises(UnicodeEncodeError):
        Lasting(io.TextIOWrapper(io.BytesIO(), encoding="ascii")).write("\u00b7")


def test_the_streams_come_back() -> None:
    before = sys.stdout, sys.stderr
    with lasting_streams() as output:
        assert sys.stdout is output  # type: ignore[comparison-overlap]
        print("written", file=sys.stderr)
    assert (sys.stdout, sys.stderr) == before


def test_characters_that_the_encoding_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with lasting_streams():
        print("d\u00fc")
    assert stream.buffer.getvalue() == b"d\\xfc\n"  # type: ignore[attr-defined]


PROGRAM = """
import sys
from vs_config.streams import lasting_streams
with lasting_streams() as output:
    for _ in range(3):
        print("progress", file=sys.stderr, flush=True)
    file = open("file", "w")
    print("done", flush=True)
sys.exit((output.lost is not None) * 10 + (file.fileno() > 2))
"""


@pytest.mark.parametrize(
    ("redirection", "status"),
    [("", 1), ("2>&-", 1), ("2>/dev/full", 1), (">/dev/full", 11), (">&-", 1), ("<&- >&- 2>&-", 1)],
)
def test_a_program_outlives_its_streams(tmp_path: Path, redirection: str, status: int) -> None:
    """No file of its own gets the number of a stream that is closed; there a lost result is what was asked for."""
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = f'exec "{sys.executable}" program.py {redirection}'
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
