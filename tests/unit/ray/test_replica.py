"""A replica without Ray around it: its life, its health, its metrics and its values."""

from __future__ import annotations

import asyncio
import io
import logging
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.asgi_server import Call, Life, run

from sagemaker_inference import metrics
from sagemaker_inference.errors import StartError
from sagemaker_inference.ray import RequestError, _replica
from sagemaker_inference.ray._metrics import Mirror
from sagemaker_inference.ray._replica import InnerReplica, Replica, existing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from .conftest import FakeRay

TEXT = """
from sagemaker_inference import metrics, model_loader, on_shutdown, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError

seen = metrics.counter("seen", "Requests.", labels=("kind",))

@model_loader
def load(model_dir, context):
    return {"gpu": context.gpu_id, "dir": model_dir}

@predictor
def predict(data, model):
    seen.inc(kind="all")
    if isinstance(data, str):
        if data == "refuse":
            raise UnprocessableInputError("Send a number.")
        if data == "stream":
            return broken()
        return model
    return data

def broken():
    yield 1
    raise ValueError

@predictor("/length")
def length(data: bytes, model):
    return str(len(data)) + " bytes"

@on_shutdown
def clean_up(model):
    model["dir"] = "closed"

serve(__name__)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "inference.py"
    file.write_text(TEXT)
    return file


async def made(kind: type[Replica], path: Path, model_dir: str | None = None) -> Any:
    """A replica as Ray makes it, in its event loop."""
    replica = kind.__new__(kind)
    await replica.__init__(str(path), model_dir, (str(path), model_dir))  # type: ignore[misc]
    return replica


def replica_of(path: Path, model_dir: str | None = None) -> Any:
    return asyncio.run(made(Replica, path, model_dir))


async def lived(replica: Replica, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test while the replica lives as Ray has it."""
    life = Life(replica.__serve_build_asgi_app__())  # type: ignore[arg-type]
    assert await life.start() == {"type": "lifespan.startup.complete"}
    await test()
    assert await life.stop() == {"type": "lifespan.shutdown.complete"}


def test_a_replica_answers_values(fake_ray: FakeRay, path: Path) -> None:
    replica = replica_of(path)

    async def test() -> None:
        replica.check_health()
        assert await replica.predict([1, 2.5]) == [1, 2.5]
        assert await replica.predict({"a": None}) == {"a": None}
        array = await replica.predict(np.arange(3), accept="application/x-npy")
        assert isinstance(array, np.ndarray)
        assert array.tolist() == [0, 1, 2]
        objects = np.array([1, "a"], dtype=object)
        assert await replica.predict(objects) == [1, "a"]
        text = await replica.predict(b"abc", path="/length", accept="text/plain")
        assert text == "3 bytes"
        rows = await replica.predict(b"1,2\n", content_type="text/csv", accept="text/csv")
        assert np.asarray(rows).tolist() == [[1, 2]]
        pickled = await replica.predict(b"[1]", "application/json", headers={"Accept": "text/csv"})
        assert np.asarray(pickled).tolist() == [[1]]

    run(lambda: lived(replica, test))
    with pytest.raises(RuntimeError, match="the program is not loaded"):
        replica.check_health()


def test_a_replica_without_http_lives_until_ray_ends_it(fake_ray: FakeRay, path: Path) -> None:
    async def test() -> None:
        replica = await made(InnerReplica, path)
        assert await replica.predict([1]) == [1]
        await replica.__del__()
        assert replica._living.done()
        # What has been counted is passed on at the end.
        assert fake_ray.set["seen", ("kind", "all")] == 1
        with pytest.raises(RuntimeError, match="the program is not loaded"):
            replica.check_health()
        # Python calls it again, and nobody awaits that.
        InnerReplica.__del__ = lambda _: None  # type: ignore[assignment, method-assign]

    original = InnerReplica.__del__
    try:
        run(test)
    finally:
        InnerReplica.__del__ = original  # type: ignore[method-assign]


def test_what_no_format_reads_stays_bytes(fake_ray: FakeRay, tmp_path: Path) -> None:
    path = tmp_path / "inference.py"
    path.write_text(
        "from sagemaker_inference import transformer, model_loader\n"
        "@model_loader\ndef load(): return 1\n"
        "@transformer\ndef handle(model, body, content_type):\n"
        "    return b'raw', 'application/x-own'\n"
    )
    replica = replica_of(path)

    async def test() -> None:
        assert await replica.predict(1) == b"raw"

    run(lambda: lived(replica, test))


def test_failures_of_values_have_their_status(fake_ray: FakeRay, path: Path) -> None:
    replica = replica_of(path)

    async def failing(*arguments: Any, **options: Any) -> tuple[int, str]:
        with pytest.raises(RequestError) as caught:
            await replica.predict(*arguments, **options)
        return caught.value.status_code, caught.value.message

    async def test() -> None:
        assert await failing("refuse") == (422, "Send a number.")
        assert (await failing(b"[1", "application/json"))[0] == 400
        error = pickle.loads(pickle.dumps(RequestError(422, "why")))  # noqa: S301 - made here
        assert (str(error), error.status_code) == ("422 why", 422)
        status, message = await failing("refuse", accept="text/plain")
        assert status == 422
        assert "Send a number." in message
        assert await failing("stream") == (500, "The stream broke off; see the log.")
        with pytest.raises(TypeError, match="no built-in format writes 'a/b'"):
            await replica.predict(1, "a/b")

    run(lambda: lived(replica, test))


def test_a_request_keeps_the_id_that_ray_has_given_it(fake_ray: FakeRay, path: Path) -> None:
    replica = replica_of(path)

    async def test() -> None:
        application: Any = replica.__serve_build_asgi_app__()
        call = Call(application, "POST", "/invocations", headers=[(b"x-request-id", b"of-ray")])
        call.body(b"[1")
        assert await call.status() == 400
        assert '"request_id": "of-ray"' in call.text
        # Ray sends it.
        assert b"x-request-id" not in call.headers
        assert await Call(application, "GET", "/ping").body(b"").status() == 200

    run(lambda: lived(replica, test))


def test_options_of_batches_come_from_ray(fake_ray: FakeRay, path: Path) -> None:
    replica = replica_of(path)

    async def test() -> None:
        replica.reconfigure({})
        with pytest.raises(StartError, match="takes no batches"):
            replica.reconfigure({"max_batch_size": 2})

    run(lambda: lived(replica, test))


@pytest.mark.parametrize(("gpus", "seen"), [([], None), ([3], 0)])
def test_a_replica_sees_the_gpu_of_ray_as_number_0(
    fake_ray: FakeRay, path: Path, gpus: list[int], seen: int | None
) -> None:
    fake_ray.gpus = gpus
    replica = replica_of(path, str(path.parent))

    async def test() -> None:
        assert await replica.predict("model") == {"gpu": seen, "dir": str(path.parent)}

    run(lambda: lived(replica, test))


def test_why_a_program_cannot_load_is_in_the_message(fake_ray: FakeRay, tmp_path: Path) -> None:
    path = tmp_path / "inference.py"
    path.write_text(
        TEXT.replace("    return {", '    raise ValueError("no weights")\n    return {')
    )
    with pytest.raises(StartError) as caught:
        replica_of(path)
    message = str(caught.value)
    assert message.startswith("loading the model from ")
    assert f'File "{path}", line' in message
    assert message.endswith("ValueError: no weights")
    path.write_text("import nothing_of_this_name")
    with pytest.raises(StartError, match="nothing_of_this_name"):
        replica_of(path)


def test_ray_is_answered_while_a_program_loads(fake_ray: FakeRay, tmp_path: Path) -> None:
    path, heard = tmp_path / "inference.py", tmp_path / "heard"
    waiting = f"""
    import pathlib, time
    until = time.monotonic() + 10
    while not pathlib.Path({str(heard)!r}).exists():
        assert time.monotonic() < until
        time.sleep(0.001)
    return {{"""
    path.write_text(TEXT.replace("\n    return {", waiting))

    async def test() -> None:
        making = asyncio.create_task(made(Replica, path))
        await asyncio.sleep(0)
        heard.touch()
        assert (await making).check_health() is None

    run(test)


def test_a_program_is_found_here_or_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = tmp_path / "there.py"
    assert existing("here.py", str(there)) == "here.py"  # neither is there
    there.touch()
    assert existing("here.py", str(there)) == str(there)
    (tmp_path / "here.py").touch()
    assert existing("here.py", str(there)) == "here.py"


def test_metrics_are_passed_on_until_the_end(
    fake_ray: FakeRay, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_replica, "_MIRROR_SECONDS", 0.001)
    replica = replica_of(path)
    key = "seen", ("kind", "all")

    async def test() -> None:
        await replica.predict(1)
        while key not in fake_ray.set:  # noqa: ASYNC110 - it is set by a timer
            await asyncio.sleep(0.001)
        monkeypatch.setattr(_replica, "_MIRROR_SECONDS", 60)
        await replica.predict(1)

    run(lambda: lived(replica, test))
    assert fake_ray.set[key] == 2


@pytest.fixture
def mirror(fake_ray: FakeRay) -> Iterator[Mirror]:
    return Mirror()  # type: ignore[return-value]


def test_each_kind_of_metric_has_its_form(fake_ray: FakeRay, mirror: Mirror) -> None:
    hits = metrics.counter("hits", "Hits.", labels=("kind",))
    level = metrics.gauge("level", "Level.")
    sizes = metrics.histogram("sizes", "Sizes.", buckets=(1, 2.5))
    hits.inc(2, kind="a")
    level.set(7)
    for size in (1, 2, 3, 4):
        sizes.observe(size)
    mirror.update()
    hits.inc(kind="a")
    level.set(3)
    mirror.update()
    mirror.update()
    assert fake_ray.set == {
        ("hits", ("kind", "a")): 3,
        ("level",): 3,
        ("sizes_bucket", ("le", "1")): 1,
        ("sizes_bucket", ("le", "2.5")): 2,
        ("sizes_bucket", ("le", "+Inf")): 4,
        ("sizes_count",): 4,
        ("sizes_sum",): 10,
    }
    assert ("Counter", "hits", "Hits.", ("kind",)) in fake_ray.heard
    assert ("Gauge", "sizes_bucket", "Sizes.", ("le",)) in fake_ray.heard
    assert len([heard for heard in fake_ray.heard if heard[1] == "hits"]) == 1


def test_requests_are_logged_in_the_file_only(tmp_path: Path) -> None:
    logger = logging.getLogger("ray.serve")
    shown = io.StringIO()
    handlers = [logging.StreamHandler(shown), logging.FileHandler(tmp_path / "replica.log")]
    for handler in handlers:
        logger.addHandler(handler)
    try:
        _replica.log_requests_once()
        logger.warning("POST /invocations 200 1.0ms", extra={"serve_access_log": True})
        logger.warning("Stopping.")
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
    assert shown.getvalue() == "Stopping.\n"
    assert (tmp_path / "replica.log").read_text().count("\n") == 2
