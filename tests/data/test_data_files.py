"""Only regular files are opened, whatever stands in their place, and whatever they are called."""

import os
import socket
import sys

import numpy as np
import pytest
from picture_files import encoded
from vs_data import DataError
from vs_data.files import read_bytes
from vs_data.flows import read_flow
from vs_data.landmark_files import read_landmarks
from vs_data.pictures import read_ids, read_rgb

posix = pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")


@posix
@pytest.mark.parametrize("read", [read_rgb, read_ids, read_landmarks, read_flow])
def test_a_pipe_is_refused_by_every_reader_and_never_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot be read: is a named pipe, not a file") as caught:
        read(tmp_path / "a.png")
    assert caught.value.file == str(tmp_path / "a.png")


@posix
def test_a_socket_a_device_and_a_folder_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(DataError, match="is a socket, not a file"):
            read_bytes(tmp_path / "s")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a device, not a file"):
        read_bytes(tmp_path / "zero")
    with pytest.raises(DataError, match="is a directory, not a file"):
        read_bytes(tmp_path)


@posix
def test_links_that_lead_nowhere_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    with pytest.raises(DataError, match="links to a file that does not exist"):
        read_bytes(tmp_path / "a")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(DataError, match="cannot be read: "):
        read_bytes(tmp_path / "a")
    with pytest.raises(DataError, match="cannot be read: "):
        read_bytes(tmp_path / ("x" * 300))


def test_a_missing_and_an_empty_file_are_errors(tmp_path):
    with pytest.raises(DataError, match="the file does not exist"):
        read_bytes(tmp_path / "a")
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="the file is empty"):
        read_bytes(tmp_path / "a")


@pytest.mark.parametrize("read", [read_rgb, read_ids, read_landmarks, read_flow])
def test_a_file_that_is_too_large_is_refused_unread(tmp_path, read):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)  # holes take no space
    with pytest.raises(DataError, match="is 1099511627776 bytes long, at most"):
        read(tmp_path / "a")


@posix
@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"x" * 251 + b".png", "ü\n\x1b[2J.png".encode()])
def test_names_of_any_bytes_are_read(tmp_path, name):
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    path = tmp_path / os.fsdecode(name)
    try:
        path.write_bytes(encoded(".png", pixels))
    except OSError:
        pytest.skip("this file system takes no such names")
    assert np.array_equal(read_rgb(path), pixels)
