"""The front end's threads and the processors, with a /proc of the test's own."""

import os

import pytest

from sagemaker_inference import placement
from sagemaker_inference.placement import Placement

PID = 4711
COMPILER = 4713


class Bench:
    """A front end of three threads, and what was done to them."""

    def __init__(self, folder, monkeypatch, processors):
        self.folder = folder / str(PID)
        self.time = 0.0
        self.ticks = 0
        self.waits = 1000
        self.placed = {}
        self.tells_waits = True
        for number, name in (
            (PID, "java"),
            (4712, "epollEventLoopG"),
            (COMPILER, "C2 CompilerThre"),
        ):
            (self.folder / "task" / str(number)).mkdir(parents=True)
            (self.folder / "task" / str(number) / "comm").write_text(name + "\n")
        self.write()
        monkeypatch.setattr(placement, "_PROC", folder)
        monkeypatch.setattr(placement, "monotonic", lambda: self.time)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: processors)
        monkeypatch.setattr(os, "sched_setaffinity", self.bind)
        monkeypatch.setattr(os, "sched_setscheduler", self.schedule)
        self.placement = Placement(PID)

    def bind(self, task, processors):
        self.placed[task] = (processors,)

    def schedule(self, task, policy, _param):
        self.placed[task] += (policy,)

    def write(self):
        times = f"{self.ticks // 2} {self.ticks - self.ticks // 2}"
        (self.folder / "stat").write_text(f"{PID} (a name) S 1 2 3 4 5 6 7 8 9 10 {times} 0 0\n")
        for task in (self.folder / "task").glob("*"):
            status = f"voluntary_ctxt_switches:\t{self.waits}\nnonvoluntary_ctxt_switches:\t7\n"
            (task / "status").write_text("Name:\tx\n" + status * self.tells_waits)

    def second(self, share, slice_us=10.0):
        """A second passes in which it used so much, in slices of so many microseconds."""
        self.placed.clear()
        self.time += 1
        self.ticks += round(share * os.sysconf("SC_CLK_TCK"))
        self.waits += round(share * 1e6 / slice_us / 3)
        self.write()
        self.placement.adjust()
        return self.placed

    def is_bound_after(self, *seconds):
        for words in seconds:
            self.second(*words)
        return {task: words[1] for task, words in self.placed.items()} == {
            PID: os.SCHED_BATCH,
            4712: os.SCHED_BATCH,
        }


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return lambda *processors: Bench(tmp_path, monkeypatch, set(processors))


def test_a_front_end_that_is_busy_with_small_requests_keeps_to_one_processor(bench):
    one = bench(4, 7)
    assert one.second(0.8) == {}
    placed = one.second(0.8)
    assert placed == {task: ({(4, 7)[PID % 2]}, os.SCHED_BATCH) for task in (PID, 4712)}


def test_it_is_released_when_it_has_time_to_spare(bench):
    one = bench(0, 1)
    assert one.is_bound_after((0.8,), (0.8,))
    assert one.second(0.5) == {}
    assert one.second(0.3) == {task: ({0, 1}, os.SCHED_OTHER) for task in (PID, 4712)}
    assert one.second(0.3) == {}


def test_it_is_released_when_it_copies_large_bodies(bench):
    one = bench(0, 1)
    assert one.is_bound_after((0.8,), (0.8,))
    assert one.second(0.9, 600)[PID] == ({0, 1}, os.SCHED_OTHER)
    assert one.second(0.9, 600) == {}


def test_threads_that_came_later_are_bound_too(bench):
    one = bench(0, 1)
    assert one.is_bound_after((0.8,), (0.8,), (0.8,))


@pytest.mark.parametrize("processors", [(0,), (0, 1, 2, 3)])
def test_on_more_or_fewer_processors_it_goes_where_it_likes(bench, processors):
    one = bench(*processors)
    assert not one.is_bound_after((0.9,), (0.9,))


def test_a_front_end_that_has_ended_is_left_alone(bench):
    one = bench(0, 1)
    one.second(0.9)
    for file in one.folder.rglob("*"):
        if file.is_file():
            file.unlink()
    one.placement.adjust()
    assert one.placed == {}


def test_where_the_system_tells_no_waits_it_goes_where_it_likes(bench):
    one = bench(0, 1)
    one.tells_waits = False
    assert not one.is_bound_after((0.9,), (0.9,), (0.9,))


def test_where_binding_is_refused_it_serves_all_the_same(bench, monkeypatch):
    def refuse(*_words):
        raise PermissionError

    one = bench(0, 1)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    one.second(0.9)
    assert one.second(0.9) == {}
