"""Files of settings: whatever is wrong with one is one error, and nothing is waited for."""

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vs_config import DocumentError, parse_json, parse_toml, read_json, read_toml
from vs_config.documents import DEEPEST, LONGEST_LINE, MAX_BYTES


def refusal(read, *arguments):
    with pytest.raises(DocumentError) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "[" * 900 + "]" * 900, f"nests more than {DEEPEST}"),
        (".".join("a" * 900) + " = 1", f"nests more than {DEEPEST}"),
        ("x = " + "{a=" * 3000, f"nests more than {DEEPEST}"),
        ("x = " + "9" * 5000, "a number of too many digits"),
        ("a." * LONGEST_LINE + "a = 1", "has a line of"),
        ("x = '\0'", "is not TOML"),
        ("x = 1\nx = 2\n", "line 2"),
        ("x = 1\n[x]", "is not TOML"),
        ("x = [", "at the end"),
        ('[data]\nroot = "C:\\Users\\me"', "'single quotes' or with forward slashes"),
        ('[data]\nroot = "D:\\data"', "(line 2, column"),
    ],
)
def test_text_that_is_not_usable(text, message):
    assert message in refusal(parse_toml, text, "c.toml")


def test_errors_carry_the_place():
    with pytest.raises(DocumentError) as caught:
        parse_toml("a = 1\nb = \n", "c.toml")
    error = caught.value
    assert (error.problems[0].source, error.line, error.column) == ("c.toml", 2, 5)
    assert str(error) == "c.toml: is not TOML: Invalid value (line 2, column 5)"


@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 900 + "1" + "}" * 900, "NaN", "9" * 5000, '{"a": 1', ""])
def test_json_that_is_not_usable(text):
    refusal(parse_json, text, "c.json")


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "odd").write_bytes(b"\xff\x00")
    (tmp_path / "utf16").write_text("a = 1", "utf-16")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_BYTES * 10_000)  # has no blocks on disk
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        server.bind("socket")
        yield tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "is a directory"),
        ("pipe", "is a named pipe"),
        ("socket", "is a socket"),
        ("/dev/zero", "is a device"),
        ("one", "cannot be read: "),
        ("nowhere", "cannot be read: No such file"),
        ("n" * 300, "cannot be read: File name too long"),
        ("a\0b", "cannot be read: "),
        ("odd", "is not a text file"),
        ("utf16", "is text in UTF-16"),
        ("huge", f"at most {MAX_BYTES} make sense here"),
    ],
)
def test_what_is_no_file_of_settings_is_refused_at_once(place, name, message):
    for read in (read_toml, read_json):
        assert message in refusal(read, place / name)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "c.toml").write_text("a = 1", "utf-8-sig")
    assert read_toml(tmp_path / "c.toml") == {"a": 1}


@given(st.text(st.sampled_from("a=.[]{}\"'\\\n#1-+eE_:TZ \t\0,"), max_size=40))
def test_any_text_is_a_document_or_one_error(text):
    for parse in (parse_toml, parse_json):
        try:
            parse(text)
        except DocumentError as error:
            assert str(error)  # noqa: PT017 - either is right
