import signal
from collections.abc import Iterator

import pytest
from vs_config.signals import StopNow, stop_requests


@pytest.fixture(autouse=True)
def terminal() -> Iterator[None]:
    """SIGHUP as a terminal's child finds it, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_is_a_wish(number: signal.Signals, status: int) -> None:
    with stop_requests() as stop:
        assert stop.requested is None
        assert stop.exit_status == 0
        assert stop.notice == ""
        signal.raise_signal(number)
        assert stop.requested == number.name
        assert stop.notice == f"stopping after this step ({number.name}); Ctrl-C stops at once"
        assert stop.exit_status == status


def test_a_second_ctrl_c_interrupts_and_a_second_sigterm_does_not() -> None:
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.requested == "SIGTERM"


def test_the_old_handlers_come_back_also_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_requests():
        assert signal.getsignal(signal.SIGINT) != before[0]
        assert signal.getsignal(signal.SIGTERM) != before[1]
    with pytest.raises(ZeroDivisionError), stop_requests():
        1 / 0  # noqa: B018
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_nothing_is_to_be_finished_the_first_signal_ends_it(number: signal.Signals) -> None:
    with stop_requests() as stop:
        with stop.at_once():
            pass
        with pytest.raises(StopNow), stop.at_once():
            signal.raise_signal(number)
        assert stop.requested == number.name
        with pytest.raises(StopNow), stop.at_once():
            raise AssertionError("it is not even begun")


def test_a_signal_before_is_a_wish_again_after_it() -> None:
    with stop_requests() as stop:
        with stop.at_once():
            pass
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested == "SIGTERM"


def test_what_nohup_asks_for_is_heeded() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.requested is None
    finally:
        signal.signal(signal.SIGHUP, before)
