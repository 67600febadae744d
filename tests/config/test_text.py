"""Text from outside, as it is shown."""

import ast

from hypothesis import given
from hypothesis import strategies as st
from vs_config import shown

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@given(ANY_TEXT)
def test_what_is_shown_is_one_printable_line_that_can_be_encoded(text):
    line = shown(text)
    assert line.isprintable()
    assert line.encode("utf-8").decode("utf-8") == line


@given(ANY_TEXT)
def test_nothing_is_lost(text):
    # Python's own reader of literals undoes the escapes; backslashes of the text itself are doubled for it.
    line = shown(text.replace("\\", "\\\\")).replace('"', '\\"')
    assert ast.literal_eval(f'"{line}"') == text


@given(st.text(st.characters(categories=("L", "N", "P", "S"))))
def test_printable_text_stays_as_it_is(text):
    assert shown(text) == text


def test_a_name_can_neither_clear_the_screen_nor_fake_a_line_nor_turn_the_text_around():
    assert shown("x\x1b[2J\x1b]0;owned\a\nerror: lost\u202e\udcff\x9b") == (
        r"x\x1b[2J\x1b]0;owned\x07\nerror: lost\u202e\udcff\x9b"
    )


@given(ANY_TEXT, st.integers(1, 20))
def test_a_limit_holds_and_is_seen(text, limit):
    line = shown(text, limit)
    assert len(line) <= limit
    assert line == shown(text) or line.endswith("…")
