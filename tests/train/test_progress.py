from __future__ import annotations

import io
import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vs_train.progress import (
    Pace,
    ProgressReport,
    figures,
    images_per_second,
    memory_in_use,
    observe,
    plain_progress,
    seconds_left,
    show_bytes,
    show_duration,
    show_progress,
    terminal_progress,
)

REPORT = ProgressReport(
    step=3,
    total_steps=40,
    losses={"g": 1.23456, "d": 0.5},
    images_per_second=12.345,
    skipped=2,
    replays=1,
    scales={"g": 65536.0, "d": 32768.0},
    gradient_norms={"g": 0.125, "d": 12.34},
    underflow={"g": 0.0123, "d": 0.0},
    memory_bytes=3 * 2**29,
    seconds_left=125.0,
    stage="4 frames",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_tells_everything() -> None:
    assert figures(REPORT) == (
        "4 frames · g 1.235  d 0.5 · 12.3 images/s · 2 skipped · 1 replayed · scale g 65536 scale d 32768 · "
        "gradient g 0.125 gradient d 12.3 · underflow g 1.23% underflow d 0% · 1.5 GiB · 2m05s left"
    )
    plain = attrs.evolve(
        REPORT, scales={}, skipped=0, replays=0, gradient_norms={}, underflow={}, seconds_left=None, stage=""
    )
    assert figures(plain) == "g 1.235  d 0.5 · 12.3 images/s · 1.5 GiB"


def test_a_pipe_gets_plain_lines_at_intervals_the_first_and_the_last() -> None:
    stream, times = io.StringIO(), iter([0.0, 4.0, 10.0, 11.0, 12.0])
    with plain_progress(stream, interval_s=10.0, clock=lambda: next(times)) as progress:
        for step in (1, 2, 3, 4, 40):
            progress.update(attrs.evolve(REPORT, step=step))
            progress.message(f"after {step}")
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.startswith("after")] == [f"after {step}" for step in (1, 2, 3, 4, 40)]
    shown = [line.split("  ")[0] for line in lines if line.startswith("step")]
    assert shown == ["step 1/40", "step 3/40", "step 40/40"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", stream.getvalue())


def test_a_terminal_gets_a_live_display_and_lines_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    stream = Terminal()
    with terminal_progress(stream) as progress:
        progress.update(REPORT)
        progress.message("wrote [checkpoint] step-3")
        progress.update(attrs.evolve(REPORT, step=4))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "\x1b[" in stream.getvalue()
    assert "4/40" in text
    assert "wrote [checkpoint] step-3" in text
    assert figures(REPORT) in text


def test_a_notice_is_shown_at_once_on_a_terminal_and_once_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    said: list[str] = []
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        said.clear()
        with show_progress(stream, notice=lambda: " ".join(said)) as progress:
            progress.update(REPORT)
            said.append("stopping")
            if stream is log:
                progress.update(REPORT)
                progress.update(REPORT)
    assert "stopping" in terminal.getvalue()
    assert log.getvalue().splitlines()[1:] == ["stopping"]


def test_the_stream_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for stream, live in ((Terminal(), True), (io.StringIO(), False)):
        with show_progress(stream) as progress:
            progress.update(REPORT)
        assert ("\x1b[" in stream.getvalue()) == live


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599, "59m59s"), (7500, "2h05m"), (370800, "4d07h"), (-3, "0s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1.02e+03 B"), (2048, "2 KiB"), (5 * 2**20, "5 MiB"), (2**41, "2.05e+03 GiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert show_bytes(count) == text


def test_memory_of_this_process_is_measured() -> None:
    assert 2**20 < memory_in_use("cpu") < 2**40


@given(
    rate=st.floats(0.01, 1e4), batches=st.lists(st.integers(1, 64), min_size=1, max_size=60), left=st.integers(0, 10**6)
)
def test_a_steady_pace_is_recognised(rate: float, batches: list[int], left: int) -> None:
    pace, now = observe(Pace(), 7.0, 0), 7.0
    assert images_per_second(pace) == 0
    assert seconds_left(pace, left) is None
    for images in batches:
        now += images / rate
        pace = observe(pace, now, images)
    assert images_per_second(pace) == pytest.approx(rate, rel=1e-3)
    assert seconds_left(pace, left) == pytest.approx(left / rate, rel=1e-3)


def test_the_pace_forgets_the_distant_past() -> None:
    pace = observe(Pace(), 0.0, 0)
    for second in range(100):
        pace = observe(pace, second + 1.0, 1 if second < 50 else 10)
    assert images_per_second(pace) == pytest.approx(10.0)


def test_names_in_messages_can_neither_move_the_cursor_nor_make_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for show in (plain_progress, terminal_progress):
        stream = io.StringIO()
        with show(stream) as progress:
            progress.message("x\x1b]0;owned\a\nerror: all is lost [bold]y[/bold]")
        assert r"x\x1b]0;owned\x07\nerror: all is lost [bold]y[/bold]" in stream.getvalue()
        assert "\x1b]0" not in stream.getvalue()
