"""Metrics as programs make, feed and read them."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import threading
import time

import pytest

from sagemaker_inference import Registry, metrics
from sagemaker_inference.errors import RegistrationError
from sagemaker_inference.metrics import _cells, _exposition, _instruments


@pytest.fixture(autouse=True)
def fresh():
    metrics.reset()
    yield
    metrics.reset()


def exposed(*fds):
    readers = [_cells.Reader.from_file(fd) for fd in fds]
    try:
        return _exposition.text(_exposition.families(reader.read() for reader in readers))
    finally:
        for reader in readers:
            reader.close()


def in_a_worker(fd, feed):
    """Feed metrics in a process of their own, which is killed afterwards."""
    pid = os.fork()
    if not pid:
        metrics.attach(fd)
        feed()
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)


def test_a_counter_counts_by_labels():
    hits = metrics.counter("hits", "Hits.", labels=("kind", "size"))
    hits.inc(kind="a", size=1)
    hits.inc(2.5, size=1, kind="a")
    hits.inc(kind="b", size=2)
    assert hits.value(kind="a", size="1") == 3.5
    assert hits.value(kind="b", size=2) == 1
    assert hits.value(kind="c", size=2) == 0


@pytest.mark.parametrize("amount", [-1, float("nan")])
def test_a_counter_does_not_go_down(amount):
    with pytest.raises(ValueError, match="the counter hits cannot go down"):
        metrics.counter("hits", "Hits.").inc(amount)


@pytest.mark.parametrize("labels", [{}, {"kind": 1, "more": 2}, {"other": 1}])
def test_labels_must_be_those_of_the_metric(labels):
    with pytest.raises(TypeError, match="the metric hits has the labels kind, and was given"):
        metrics.counter("hits", "Hits.", labels=("kind",)).inc(**labels)


def test_a_gauge_has_what_was_set_last():
    cached = metrics.gauge("cached", "Cached.")
    assert cached.value() == 0
    cached.set(3)
    thread = threading.Thread(target=cached.set, args=(5,))
    thread.start()
    thread.join()
    assert cached.value() == 5
    cached.set(2)
    assert cached.value() == 2


def test_a_histogram_counts_observations_up_to_each_bound():
    seconds = metrics.histogram("seconds", "Seconds.", buckets=(1, 2))
    for value in (0.5, 1, 1.5, 3):
        seconds.observe(value)
    assert (seconds.count(), seconds.sum()) == (4, 6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: metrics.counter("a b", "x"), "'a b' is not a name"),
        (lambda: metrics.counter(5, "x"), "5 is not a name"),
        (lambda: metrics.gauge("sagemaker_x", "x"), "begins with sagemaker_"),
        (lambda: metrics.counter("x", "x", labels="kind"), "labels must be a list or tuple"),
        (lambda: metrics.counter("x", "x", labels=("1",)), "'1' is not the name of a label"),
        (lambda: metrics.counter("x", "x", labels=("le",)), "'le' is not the name of a label"),
        (lambda: metrics.counter("x", "x", labels=("__a",)), "'__a' is not the name of a label"),
        (lambda: metrics.counter("x", "x", labels=("a", "a")), "a label is there twice: a, a"),
        (lambda: metrics.histogram("x", "x", buckets=(2, 1)), "numbers that ascend"),
        (lambda: metrics.histogram("x", "x", buckets=()), "numbers that ascend"),
        (lambda: metrics.histogram("x", "x", buckets=(math.nan,)), "numbers that ascend"),
        (lambda: metrics.histogram("x", "x", buckets=(math.inf,)), "numbers that ascend"),
        (lambda: metrics.histogram("x", "x", buckets=["a"]), "numbers that ascend"),
        (lambda: metrics.histogram("x", "x", buckets=5), "numbers that ascend"),
        (lambda: metrics.gauge("x", "x", over_workers="min"), "'sum', 'max' or 'last'"),
    ],
)
def test_what_cannot_be_exposed_is_refused_with_its_place(make, words):
    with pytest.raises(RegistrationError, match=words) as caught:
        make()
    assert f"{os.path.basename(__file__)}, line " in str(caught.value)  # noqa: PTH119


def test_the_same_metric_again_is_the_same_and_another_of_its_name_is_refused():
    first = metrics.counter("hits_total", "Hits.", labels=("kind",))
    assert metrics.counter("hits", "Hits.", labels=["kind"]) is first
    assert metrics.counter("_total", "Odd.").name == "_total"
    with pytest.raises(RegistrationError, match=r"hits .* another one than hits at") as caught:
        metrics.gauge("hits", "Hits.")
    assert str(caught.value).count("test_metrics.py, line ") == 2
    with pytest.raises(RegistrationError, match="a counter with the labels kind"):
        metrics.counter("hits", "Hits.")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: metrics.counter("q", "Q."), lambda: metrics.gauge("q_total", "Q.")),
        (lambda: metrics.gauge("h_sum", "H."), lambda: metrics.histogram("h", "H.")),
    ],
)
def test_names_that_are_the_same_where_they_are_exposed_are_refused(first, second):
    for one, other in ((first, second), (second, first)):
        metrics.reset()
        one()
        with pytest.raises(RegistrationError, match="Give one of them another name"):
            other()


def test_the_bucket_that_is_always_there_may_be_named():
    assert metrics.histogram("seconds", "S.", buckets=(1, math.inf)).buckets == (1,)


def test_label_values_are_bounded(caplog):
    hits = metrics.counter("hits", "Hits.", labels=("user",))
    for user in range(150):
        hits.inc(user=user)
    assert hits.value(user=99) == 1
    assert hits.value(user=_instruments.OTHER) == 50
    assert caplog.text.count("has 100 sets of label values") == 1


def test_label_values_are_what_can_be_sent_and_stay_short():
    """Clients may have sent them."""
    hits = metrics.counter("hits", "Hits \ud800.", labels=("user",))
    for user in ("\ud800", "\udfff", "?", "a" * 300, "a" * 200):
        hits.inc(user=user)
    assert hits.value(user="?") == 3
    assert hits.value(user="a" * 500) == 2
    made = _exposition.text(_exposition.families([_instruments.STATE.area.read()])).encode()
    assert b'hits_total{user="?"} 3\n' in made
    assert b"# HELP hits_total Hits ?.\n" in made


def test_what_is_not_a_number_is_in_no_bucket():
    seconds = metrics.histogram("seconds", "S.", buckets=(1, 2))
    seconds.observe(math.nan)
    made = _exposition.text(_exposition.families([_instruments.STATE.area.read()]))
    assert 'seconds_bucket{le="2"} 0\n' in made
    assert 'seconds_bucket{le="+Inf"} 1\n' in made
    assert "seconds_sum NaN\n" in made


def test_threads_count_without_losing_anything():
    hits = metrics.counter("hits", "Hits.")

    def feed():
        for _ in range(10_000):
            hits.inc()

    threads = [threading.Thread(target=feed) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hits.value() == 80_000


def test_threads_that_count_first_get_the_same_cells(monkeypatch):
    barrier, made = threading.Barrier(4), []

    def make(fd=None):
        made.append(fd)
        time.sleep(0.05)  # while the others come
        return _cells.Area(fd)

    monkeypatch.setattr(_instruments, "Area", make)
    _instruments.STATE.attach(None)
    hits = metrics.counter("hits", "Hits.")

    def feed():
        barrier.wait(10)
        hits.inc()

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [None]
    assert hits.value() == 4


def test_what_a_killed_worker_has_counted_can_be_read():
    hits = metrics.counter("hits", "Hits\nof \\ all.", labels=("kind",))
    cached = metrics.gauge("cached", "Cached.")
    most = metrics.gauge("most", "Most.", over_workers="max")
    last = metrics.gauge("last", "Last.", over_workers="last")
    seconds = metrics.histogram("seconds", "Seconds.", buckets=(0.5, 1))
    fds = [_cells.make_file() for _ in range(2)]

    def feed(number):
        hits.inc(number, kind='a"\n\\')
        for metric in (cached, most, last):
            metric.set(number)
        seconds.observe(number / 2)

    for number, fd in enumerate(fds, 1):
        in_a_worker(fd, lambda number=number: feed(number))
    assert exposed(*fds) == (
        "# HELP hits_total Hits\\nof \\\\ all.\n"
        "# TYPE hits_total counter\n"
        'hits_total{kind="a\\"\\n\\\\"} 3\n'
        "# HELP cached Cached.\n# TYPE cached gauge\ncached 3\n"
        "# HELP most Most.\n# TYPE most gauge\nmost 2\n"
        "# HELP last Last.\n# TYPE last gauge\nlast 2\n"
        "# HELP seconds Seconds.\n"
        "# TYPE seconds histogram\n"
        'seconds_bucket{le="0.5"} 1\n'
        'seconds_bucket{le="1"} 2\n'
        'seconds_bucket{le="+Inf"} 2\n'
        "seconds_sum 1.5\n"
        "seconds_count 2\n"
    )
    for fd in fds:
        os.close(fd)


def test_a_reader_follows_what_is_added():
    hits = metrics.counter("hits", "Hits.", labels=("kind",))
    fd = _cells.make_file()
    metrics.attach(fd)
    reader = _cells.Reader.from_file(fd)
    assert reader.read() == []
    for kind in "ab":
        hits.inc(kind=kind)
        assert reader.read()[-1] == (
            {"name": "hits", "kind": "counter", "help": "Hits.", "labels": {"kind": kind}},
            [1.0],
        )
    assert [described.values for described in reader.read()] == [[1.0], [1.0]]
    reader.close()
    os.close(fd)


def test_an_area_that_is_attached_again_goes_on_behind_what_is_there():
    hits = metrics.counter("hits", "Hits.")
    fd = _cells.make_file()
    for _ in range(2):
        in_a_worker(fd, hits.inc)
    assert "hits_total 2\n" in exposed(fd)
    os.close(fd)


def test_a_full_area_loses_numbers_and_says_so_once(caplog):
    fd = _cells.make_file()
    metrics.attach(fd)
    seconds = metrics.histogram("seconds", "S.", labels=("n",), buckets=range(400))
    gauge = metrics.gauge("g", "G.", labels=("n",))
    for number in range(60):
        seconds.observe(1, n=number)
    for number in range(99):
        gauge.set(1, n=number)
    assert seconds.count(n=0) == 1
    assert seconds.count(n=59) == 0
    assert caplog.text.count("there is no room for more metrics") == 1
    os.close(fd)


def test_a_forked_child_does_not_write_into_its_parents_cells():
    hits = metrics.counter("hits", "Hits.")
    fd = _cells.make_file()
    metrics.attach(fd)
    hits.inc()
    pid = os.fork()
    if not pid:
        hits.inc(10)
        os._exit(int(hits.value()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 10
    assert hits.value() == 1
    os.close(fd)


def test_shared_memory_may_be_a_temporary_file(monkeypatch):
    def refuse(_name):
        raise OSError

    monkeypatch.setattr(os, "memfd_create", refuse)
    hits = metrics.counter("hits", "Hits.")
    fd = _cells.make_file()
    in_a_worker(fd, hits.inc)
    assert "hits_total 1\n" in exposed(fd)
    os.close(fd)


def test_numbers_are_written_as_prometheus_reads_them():
    gauge = metrics.gauge("g", "G.", labels=("n",))
    fd = _cells.make_file()
    metrics.attach(fd)
    for number in (float("inf"), float("-inf"), float("nan"), 0.1, 2.0**60):
        gauge.set(number, n=number)
    lines = [line.rpartition(" ")[2] for line in exposed(fd).splitlines()[2:]]
    assert lines == ["+Inf", "-Inf", "NaN", "0.1", "1.152921504606847e+18"]
    os.close(fd)


def test_another_kind_of_the_same_name_is_left_out():
    one, other = _cells.make_file(), _cells.make_file()
    metrics.attach(one)
    metrics.counter("x", "X.").inc()
    metrics.reset()
    metrics.attach(other)
    metrics.gauge("x", "X.").set(5)
    assert exposed(one, other) == "# HELP x_total X.\n# TYPE x_total counter\nx_total 1\n"
    os.close(one)
    os.close(other)


def test_a_timed_function_keeps_its_signature_and_place():
    @metrics.timed("f_seconds")
    def f(data, model=None):
        """Doc."""
        return data

    assert f(5) == 5
    assert str(inspect.signature(f)) == "(data, model=None)"
    assert (f.__name__, f.__doc__) == ("f", "Doc.")
    assert metrics.histogram("f_seconds", f"Seconds of {f.__qualname__}.").count() == 1
    registry = Registry()
    assert registry.predictor(f) is f
    with pytest.raises(RegistrationError, match="which takes 4 arguments"):
        registry.encoder("a/b")(metrics.timed("g_seconds")(lambda a, b, c, d: None))


def test_methods_and_coroutines_are_timed_and_counted():
    class Model:
        @metrics.timed("predict_seconds", "P.")
        @metrics.counted("predictions", "N.")
        def predict(self, data):
            return [self, data]

        @metrics.timed("wait_seconds", "W.")
        async def wait(self):
            await asyncio.sleep(0.01)

    model = Model()
    assert model.predict(1) == [model, 1]
    assert inspect.iscoroutinefunction(model.wait)
    asyncio.run(model.wait())
    assert metrics.histogram("predict_seconds", "P.").count() == 1
    assert metrics.counter("predictions", "N.").value() == 1
    assert metrics.histogram("wait_seconds", "W.").sum() >= 0.01


def test_failures_are_timed_and_counted_by_kind():
    @metrics.timed("f_seconds", "S.")
    @metrics.counted("bad", "B.", on=ValueError)
    def f(error):
        if error:
            raise error

    @metrics.counted("worse", "B.", on=ValueError)
    async def g(error):
        if error:
            raise error

    for error in (ValueError("x"), KeyError("y")):
        with pytest.raises(type(error)):
            f(error)
        with pytest.raises(type(error)):
            asyncio.run(g(error))
    f(None)
    asyncio.run(g(None))
    assert metrics.counter("bad", "B.").value() == 1
    assert metrics.counter("worse", "B.").value() == 1
    assert metrics.histogram("f_seconds", "S.").count() == 3


def test_an_area_that_a_process_attaches_again_goes_on_behind_what_is_there():
    hits = metrics.counter("hits", "Hits.")
    fd = _cells.make_file()
    for _ in range(2):
        metrics.attach(fd)
        hits.inc()
    assert "hits_total 2\n" in exposed(fd)
    os.close(fd)


def test_a_full_area_costs_numbers_of_every_kind(monkeypatch):
    monkeypatch.setattr(_cells, "CELLS", 1)
    fd = _cells.make_file()
    metrics.attach(fd)
    counter, gauge = metrics.counter("c", "C."), metrics.gauge("g", "G.")
    seconds = metrics.histogram("s", "S.")
    counter.inc()
    other = metrics.counter("other", "O.")
    other.inc()
    gauge.set(1)
    seconds.observe(1)
    seconds.recorder()(1)
    assert (counter.value(), other.value(), gauge.value(), seconds.count()) == (1, 0, 0, 0)
    os.close(fd)


def test_other_buckets_of_a_series_that_is_there_are_left_out():
    family = _exposition.Family("s", "histogram", "S.", (1.0,))
    family.add({"a": "b"}, [1, 0, 0.5], (1.0,))
    family.add({"a": "b"}, [1, 0, 0, 0.5], (1.0, 2.0))
    assert list(family.series.values()) == [[1, 0, 0.5]]


@pytest.mark.parametrize("set_last", [0, 1])
def test_of_two_threads_the_one_that_set_a_gauge_last_counts(set_last):
    times = [1.0, 1.0]
    times[set_last] = 2.0
    about = {"name": "g", "kind": "gauge", "help": "G.", "labels": {}}
    process = [
        _cells.Described(about, [value, time])
        for value, time in zip((5.0, 7.0), times, strict=True)
    ]
    (family,) = _exposition.families([process])
    assert list(family.series.values()) == [[(5.0, 7.0)[set_last], 2.0]]


def test_a_series_with_buckets_of_its_own_keeps_them():
    family = _exposition.Family("s", "histogram", "S.", (1.0,))
    family.add({}, [1, 0, 0.5], (2.0,))
    assert 's_bucket{le="2"} 1\n' in _exposition.text([family])
    other = _exposition.Family("s", "histogram", "S.", (1.0,))
    other.merge(family)
    assert _exposition.text([other]) == _exposition.text([family])
