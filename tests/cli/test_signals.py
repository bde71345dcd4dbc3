"""A first signal asks, a second one ends."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from mddae_cli.cli.signals import stop_flag, terminate_as_interrupt


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends(
    capfd: pytest.CaptureFixture[str], first: int, second: int
) -> None:
    with stop_flag("stopping\n") as stop:
        assert not stop()
        os.kill(os.getpid(), first)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), second)
    assert capfd.readouterr().err == "stopping\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_former_handlers_come_back(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    with pytest.raises(ValueError), stop_flag(""):
        assert signal.getsignal(number) is not former
        raise ValueError
    assert signal.getsignal(number) is former


def test_termination_raises_where_cleaning_up_is_possible() -> None:
    with pytest.raises(KeyboardInterrupt), terminate_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_thread_beside_the_main_one_goes_without_handlers() -> None:
    seen: list[bool] = []

    def work() -> None:
        with stop_flag("") as stop:
            seen.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
