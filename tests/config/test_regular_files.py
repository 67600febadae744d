"""Only regular files are opened, none is waited for, and none is read that is larger than it should be."""

import os
import socket
import stat
from pathlib import Path

import pytest
from vs_config.files import FileTooLargeError, NotAFileError, open_regular, read_regular


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    return tmp_path


def test_what_is_no_file_is_named_and_not_opened(here):
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name, kind in [
            ("pipe", "a named pipe"),
            ("folder", "a directory"),
            ("link", "a directory"),
            ("socket", "a socket"),
            ("/dev/zero", "a device"),
        ]:
            with pytest.raises(NotAFileError) as caught:
                open_regular(Path(name))
            assert (caught.value.strerror, caught.value.filename) == (f"is {kind}, not a file", name)


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(here, monkeypatch):
    os.mkfifo("pipe")
    (here / "file").touch()
    status = (here / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda _: status)
    with pytest.raises(NotAFileError, match="is a named pipe, not a file"):
        open_regular(Path("pipe"))


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path) == read_regular(path, max_bytes=5) == b"12345"
    with pytest.raises(FileTooLargeError, match="is 5 bytes long, at most 4 make sense here") as caught:
        read_regular(path, max_bytes=4)
    assert caught.value.filename == str(path)
    with path.open("wb") as file:
        file.truncate(2**40)  # holes take no space
    with pytest.raises(FileTooLargeError):
        read_regular(path, max_bytes=2**30)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
def test_a_file_that_says_that_it_is_empty_is_read_to_its_end():
    path = Path("/proc/self/status")
    assert stat.S_ISREG(path.stat().st_mode)
    assert read_regular(path, max_bytes=2**20).endswith(b"\n")
    with pytest.raises(FileTooLargeError):
        read_regular(path, max_bytes=10)


def test_a_missing_file_is_missing(tmp_path):
    for path in (tmp_path / "a", tmp_path / ("n" * 300)):
        with pytest.raises(OSError, match=r"No such file|File name too long"):
            read_regular(path)
    with pytest.raises(ValueError, match="null"):
        read_regular(tmp_path / "a\0b")
