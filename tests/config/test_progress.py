"""One display of progress: live on a terminal, plain lines elsewhere."""

import io
import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vs_config.amounts import show_bytes, show_duration
from vs_config.progress import Pace, observe, per_second, seconds_left, show_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@attrs.define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_pipe_gets_plain_lines_at_intervals_the_first_and_the_last():
    stream, clock = io.StringIO(), Clock()
    with show_progress("step", stream=stream, at_once=True, clock=clock) as progress:
        for step, now in [(1, 0.0), (2, 4.0), (3, 10.0), (4, 11.0), (40, 12.0)]:
            clock.now = 100 + now
            progress.update(step, 40, figures=f"g {step}.5")
            progress.message(f"after {step}")
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.startswith("after")] == [f"after {step}" for step in (1, 2, 3, 4, 40)]
    shown = [line for line in lines if line.startswith("step")]
    assert shown == ["step 1/40  g 1.5", "step 3/40  g 3.5", "step 40/40  g 40.5"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", stream.getvalue())


def test_what_takes_no_time_says_nothing_in_a_pipe_and_what_does_says_how_fast_it_is():
    stream, clock = io.StringIO(), Clock()
    with show_progress("checking", unit="files", stream=stream, clock=clock) as progress:
        for second in range(26):
            clock.now = 100.0 + second
            progress.update(4 * second, 400)
    assert stream.getvalue().splitlines() == [
        "checking 40/400 files  4 files/s · 1m30s left",
        "checking 80/400 files  4 files/s · 1m20s left",
    ]


def test_something_else_that_begins_is_a_line_of_its_own():
    stream, clock = io.StringIO(), Clock()
    with show_progress("evaluating", unit="frames", stream=stream, clock=clock) as progress:
        for done, name in enumerate("aab", start=1):
            progress.update(done, 3, what=f"clip {name}")
        clock.now += 11
        progress.update(3, None, what="drawing")
        clock.now += 11
        progress.update(3)
    assert stream.getvalue().splitlines() == ["clip a", "clip b", "drawing", "drawing  22s"]


def test_a_terminal_gets_a_live_display_and_lines_that_stay():
    stream, clock = Terminal(), Clock()
    with show_progress("step", unit="frames", stream=stream, keep=True, clock=clock) as progress:
        progress.update(3, 40)
        progress.message("wrote [checkpoint] step-3")
        clock.now += 2
        progress.update(4, 40)
    assert "\x1b[" in stream.getvalue()
    text = plain(stream.getvalue())
    for part in ("wrote [checkpoint] step-3", "step 4/40 frames", "10%", "2 frames/s · 18s left"):
        assert part in text


def test_figures_that_are_given_stand_in_the_place_of_the_rate():
    stream = Terminal()
    with show_progress("step", unit="frames", stream=stream, keep=True) as progress:
        progress.update(1, 2, figures="g 1.5 [bold]")
    assert "g 1.5 [bold]" in plain(stream.getvalue())
    assert "frames/s" not in stream.getvalue()


def test_a_bar_goes_when_the_work_is_done_unless_it_is_to_stay():
    ends = {}
    for keep in (True, False):
        stream = Terminal()
        with show_progress("checking", stream=stream, keep=keep) as progress:
            progress.update(1, 2)
        ends[keep] = stream.getvalue()[-20:]
    assert "\x1b[2K" in ends[False]
    assert "\x1b[2K" not in ends[True]


def test_work_of_unknown_length_shows_how_long_it_takes():
    stream, clock = Terminal(), Clock()
    with show_progress("looking", stream=stream, clock=clock) as progress:
        clock.now += 65
        progress.update(0, what="at the reference")
    assert "at the reference" in plain(stream.getvalue())
    assert "1m05s" in plain(stream.getvalue())


def test_a_notice_is_shown_at_once_on_a_terminal_and_once_in_a_log():
    said = []
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        said.clear()
        with show_progress("step", stream=stream, at_once=True, notice=lambda: " ".join(said)) as progress:
            progress.update(3, 40)
            said.append("stopping")
            if stream is log:
                progress.update(3, 40)
                progress.update(3, 40)
    assert "stopping" in terminal.getvalue()
    assert log.getvalue().splitlines()[1:] == ["stopping"]


def test_names_can_neither_move_the_cursor_nor_make_a_line():
    text = "x\x1b]0;owned\a\nerror: all is lost [bold]y[/bold]"
    for stream in (io.StringIO(), Terminal()):
        with show_progress("step", stream=stream, keep=True) as progress:
            progress.message(text)
            progress.update(1, 2, what=text)
        assert plain(stream.getvalue()).count(r"x\x1b]0;owned\x07\nerror: all is lost [bold]y[/bold]") >= 2
        assert "\x1b]0" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599, "59m59s"), (7500, "2h05m"), (370800, "4d07h"), (-3, "0s")],
)
def test_durations(seconds, text):
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (2048, "2 KiB"), (5 * 2**20, "5 MiB"), (2**41, "2048 GiB")],
)
def test_sizes(count, text):
    assert show_bytes(count) == text


@given(
    rate=st.floats(0.01, 1e4), batches=st.lists(st.integers(1, 64), min_size=1, max_size=60), left=st.integers(0, 10**6)
)
def test_a_steady_pace_is_recognised(rate, batches, left):
    pace, now = observe(Pace(), 7.0, 0), 7.0
    assert per_second(pace) == 0
    assert seconds_left(pace, left) is None
    for images in batches:
        now += images / rate
        pace = observe(pace, now, images)
    assert per_second(pace) == pytest.approx(rate, rel=1e-3)
    assert seconds_left(pace, left) == pytest.approx(left / rate, rel=1e-3)


def test_the_pace_forgets_the_distant_past():
    pace = observe(Pace(), 0.0, 0)
    for second in range(100):
        pace = observe(pace, second + 1.0, 1 if second < 50 else 10)
    assert per_second(pace) == pytest.approx(10.0)
