"""Signals are caught within a block, recorded, and handled as before after it."""

import os
import signal
import threading

import pytest

from sagemaker_semseg.signals import StopSignal, catch_signals


def test_a_signal_sets_the_event_and_calls_back() -> None:
    called: list[int] = []
    with catch_signals(callback=called.append) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(600)
    assert (stop.signal, called) == (signal.SIGTERM, [signal.SIGTERM])


@pytest.mark.parametrize("threaded", [False, True])
def test_handlers_are_restored_even_if_the_callback_raises(threaded: bool) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    threads = threading.active_count()

    def refuse(number: int) -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit), catch_signals((*before,), refuse, threaded=threaded):
        signal.raise_signal(signal.SIGHUP)
    assert {number: signal.getsignal(number) for number in before} == before
    assert threading.active_count() == threads
    assert signal.set_wakeup_fd(-1) == -1


def test_other_signals_are_left_alone() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
    try:
        with catch_signals(threaded=True) as stop:
            signal.raise_signal(signal.SIGUSR1)
        assert (received, stop.is_set()) == ([signal.SIGUSR1], False)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_thread_sets_the_event_while_the_main_thread_runs_no_handler() -> None:
    with catch_signals(threaded=True) as stop:
        signal.signal(signal.SIGTERM, lambda number, frame: None)  # as if it hadn't run yet
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(600)
    assert stop.signal == signal.SIGTERM


def test_blocks_nest() -> None:
    with catch_signals(threaded=True) as outer:
        with catch_signals(threaded=True) as inner:
            signal.raise_signal(signal.SIGTERM)
        assert inner.signal == signal.SIGTERM
        assert not outer.is_set()
        signal.raise_signal(signal.SIGINT)
        assert outer.signal == signal.SIGINT


def test_outside_the_main_thread_nothing_is_handled() -> None:
    found: list[StopSignal] = []

    def run() -> None:
        with catch_signals(threaded=True) as stop:
            found.append(stop)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not found[0].is_set()
