import os
import select

import pytest

from sagemaker_inference._os.event_loop import EventLoop


@pytest.fixture
def loop():
    made = EventLoop()
    yield made
    made.close()


@pytest.fixture
def pipes():
    made = [os.pipe() for _ in range(2)]
    yield made
    for reader, writer in made:
        os.close(reader)
        os.close(writer)


def test_timers_come_in_their_time(loop):
    told = []
    loop.after(0.02, lambda: told.append("once"))
    loop.every(0.01, lambda: told.append("again"))
    while told.count("again") < 3:
        loop.turn()
    assert told.count("once") == 1


def test_what_an_earlier_callback_unwatched_is_not_called(loop, pipes):
    told = []

    def first():
        told.append("first")
        loop.unwatch(pipes[1][0])
        loop.unwatch(pipes[1][0])
        loop.unwatch(pipes[0][0])

    for reader, writer in pipes:
        os.write(writer, b"x")
        loop.watch(reader, first)
    loop.turn()
    assert told == ["first"]


def test_a_descriptor_that_is_watched_anew_is_not_called_for_the_old_one(loop, pipes):
    told = []

    def first():
        for reader, _ in pipes:
            loop.unwatch(reader)
            loop.watch(reader, lambda: told.append("second"))
        told.append("first")

    for reader, writer in pipes:
        os.write(writer, b"x")
        loop.watch(reader, first)
    loop.turn()
    assert told == ["first"]
    loop.turn()
    assert told == ["first", "second", "second"]


def test_what_is_waited_for_can_be_changed(loop, pipes):
    told = []
    _, writer = pipes[0]
    loop.watch(writer, lambda: told.append("room"), select.EPOLLIN)
    loop.after(0.01, lambda: None)
    loop.turn()
    assert told == []
    loop.modify(writer, select.EPOLLOUT)
    loop.turn()
    assert told == ["room"]
