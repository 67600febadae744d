from __future__ import annotations

import signal

import pytest
from vs_train.signals import stop_requests


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
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
