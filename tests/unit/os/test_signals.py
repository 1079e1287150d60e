import os
import signal

import pytest

from sagemaker_inference._os.event_loop import EventLoop
from sagemaker_inference._os.signals import STOPPING, Signals, signal_name


@pytest.fixture
def loop():
    made = EventLoop()
    yield made
    made.close()


def test_signals_come_through_the_loop_and_handlers_are_put_back(loop):
    before = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGUSR1)}
    heard = []
    signals = Signals(loop, heard.append)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3):
        os.kill(os.getpid(), number)
    while len(heard) < 3:
        loop.turn()
    signals.close()
    assert heard == [signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3]
    assert {number: signal.getsignal(number) for number in before} == before


def test_what_was_ignored_stays_so(loop):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = Signals(loop, lambda _number: None)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signals.close()
    signal.signal(signal.SIGHUP, before)


def test_a_handler_of_a_library_is_given_back_as_the_default(loop, monkeypatch):
    signals = Signals(loop, lambda _number: None)
    monkeypatch.setitem(signals._handlers, signal.SIGUSR2, None)
    signals.close()
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_names():
    assert signal_name(signal.SIGTERM) == "SIGTERM"
    assert signal_name(signal.SIGRTMIN + 3) == f"signal {signal.SIGRTMIN + 3}"
