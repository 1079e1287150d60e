"""Many models behind one endpoint."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from starlette.responses import JSONResponse, Response
from support.emulated import LIMITS, Emulated, SmallContainer, emulated, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.emulated import Asked

    from sagemaker_inference._emulator.limits import Limits


class ManyModels(SmallContainer):
    """A container that has memory for so many models."""

    def __init__(self, room: int = 10) -> None:
        super().__init__()
        self.room = room
        self.loaded: dict[str, str] = {}
        self.load_seconds = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.answer = self._serve
        self.log: list[str] = []
        self.sizes: dict[str, int] = {}

    async def _serve(self, asked: Asked) -> Response:
        if asked.path == "/models":
            return await self._load(json.loads(asked.body))
        name = asked.path.split("/")[2]
        if asked.method != "POST":
            known = self.loaded.pop(name, None) if asked.method == "DELETE" else name in self.loaded
            self.log.append(f"{asked.method} {name[:4]}")
            return Response(status_code=200 if known else 404)
        if name not in self.loaded:
            return Response(status_code=404)
        return await self.predict(name, asked)

    async def predict(self, name: str, asked: Asked) -> Response:
        self.log.append(f"invoke {name[:4]}")
        if self.sizes.get("invocation", 0) and len(self.loaded) > 1:
            return Response(status_code=507)
        await asyncio.sleep(float(asked.body))
        return Response(weights(self.loaded[name]))

    async def _load(self, asked: dict[str, str]) -> Response:
        name, url = asked["model_name"], asked["url"]
        self.log.append(f"load {name[:4]}")
        await asyncio.sleep(self.load_seconds)
        while not self.gate.is_set():  # noqa: ASYNC110 - an event of threads
            await asyncio.sleep(0.01)
        if name in self.loaded:
            return Response(status_code=409)
        if is_broken(url):
            return JSONResponse({"message": "no weights"}, 500)
        if len(self.loaded) >= self.room:
            return Response("no memory", 507)
        self.loaded[name] = url
        return Response()


def weights(url: str) -> bytes:
    return Path(url, "weights").read_bytes()


def is_broken(url: str) -> bool:
    return Path(url, "broken").exists()


def pack(path: Path, name: str, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Archives of models."""
    for name in "abc":
        pack(tmp_path / "models" / f"{name}.tar.gz", "weights", name.encode())
    pack(tmp_path / "models" / "deeper" / "a.tar.gz", "weights", b"deeper")
    pack(tmp_path / "models" / "broken.tar.gz", "broken", b"")
    pack(tmp_path / "models" / "evil.tar.gz", "../../evil", b"")
    (tmp_path / "models" / "text.tar.gz").write_text("no archive")
    return tmp_path / "models"


@contextmanager
def running(container: ManyModels, folder: Path, limits: Limits = LIMITS) -> Iterator[Emulated]:
    with emulated(container, limits, models=folder) as emulator:
        yield emulator


def ask(emulator: Emulated, name: str, seconds: float = 0) -> bytes:
    reply = emulator.invoke(str(seconds).encode(), TargetModel=f"{name}.tar.gz")
    content: bytes = reply["Body"].read()
    return content


def error_of(emulator: Emulated, **more: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        emulator.invoke(b"0", **more)
    return dict(caught.value.response)


@pytest.mark.rule("models-load")
def test_a_model_is_loaded_when_it_is_first_asked_for(folder: Path) -> None:
    container = ManyModels()
    with running(container, folder) as emulator:
        assert [ask(emulator, name) for name in "aab"] == [b"a", b"a", b"b"]
    assert [line.split()[0] for line in container.log] == [
        *("load", "invoke", "invoke"),
        *("load", "invoke"),
    ]
    load, invoke, *_ = container.asked
    name = json.loads(load.body)["model_name"]
    assert json.loads(load.body)["url"].endswith(f"/{name}/model")
    assert invoke.path == f"/models/{name}/invoke"
    assert invoke.headers["x-amzn-sagemaker-target-model"] == "a.tar.gz"
    # Nothing can be read of it.
    assert len(name) == 32


@pytest.mark.rule("models-name")
def test_a_request_names_its_model(folder: Path) -> None:
    with running(ManyModels(), folder) as emulator:
        error = error_of(emulator)
    request = error["ResponseMetadata"]["RequestId"]
    assert error["Error"] == {
        "Code": "ValidationError",
        "Message": f"Request {request} is missing a target model header.",
    }


@pytest.mark.rule("models-archive")
@pytest.mark.parametrize(
    "target",
    [
        "none.tar.gz",
        "../models/a.tar.gz/../../x.tar.gz",
        "../models/a.tar.gz",
        "deeper/../a.tar.gz",
        "./a.tar.gz",
        "deeper//a.tar.gz",
        "/a.tar.gz",
        "a",
        f"{'x' * 300}.tar.gz",
    ],
)
def test_an_archive_that_is_not_there_is_refused(folder: Path, target: str) -> None:
    with running(ManyModels(), folder) as emulator:
        error = error_of(emulator, TargetModel=target)
    assert error["Error"]["Message"].startswith(
        f"Failed to download model data(bucket: models, key: {target})."
    )


@pytest.mark.parametrize("target", ["evil.tar.gz", "text.tar.gz"])
def test_an_archive_that_cannot_be_unpacked_is_refused(folder: Path, target: str) -> None:
    with running(ManyModels(), folder) as emulator:
        error = error_of(emulator, TargetModel=target)
    assert error["Error"]["Code"] == "ValidationError"
    assert error["Error"]["Message"].startswith(f"Unable to extract model data {target}: ")


@pytest.mark.rule("models-evict")
def test_the_model_that_was_not_used_for_longest_makes_room(folder: Path) -> None:
    container = ManyModels(room=2)
    with running(container, folder) as emulator:
        assert [ask(emulator, name) for name in "abac"] == [b"a", b"b", b"a", b"c"]
        kept = {Path(path, "weights").read_bytes() for path in container.loaded.values()}
        assert kept == {b"a", b"c"}
        # Its files are gone as well.
        assert len(list((emulator.folder / "unpacked").iterdir())) == 2
        assert ask(emulator, "b") == b"b"


@pytest.mark.rule("models-507")
def test_where_no_model_can_make_room_507_is_a_model_error(folder: Path) -> None:
    container = ManyModels(room=1)
    with running(container, folder) as emulator, ThreadPoolExecutor() as pool:
        busy = pool.submit(ask, emulator, "a", 0.5)
        until(lambda: any(line.startswith("invoke") for line in container.log))
        error = error_of(emulator, TargetModel="b.tar.gz")
        assert busy.result() == b"a"
    assert error["OriginalStatusCode"] == 507
    assert error["OriginalMessage"] == "no memory"


@pytest.mark.rule("models-invoke-507")
def test_507_of_an_invocation_unloads_another_model(folder: Path) -> None:
    container = ManyModels()
    with running(container, folder) as emulator:
        assert [ask(emulator, name) for name in "ab"] == [b"a", b"b"]
        container.sizes["invocation"] = 1
        assert ask(emulator, "b") == b"b"
        assert len(container.loaded) == 1


def test_a_model_that_the_container_has_lost_is_loaded_again(folder: Path) -> None:
    container = ManyModels()
    with running(container, folder) as emulator:
        assert ask(emulator, "a") == b"a"
        container.loaded.clear()
        assert ask(emulator, "a") == b"a"


def test_a_404_of_a_loaded_model_is_the_models(folder: Path) -> None:
    container = ManyModels()

    async def predict(*_: object) -> Response:
        return Response("unknown flower", 404)

    container.predict = predict  # type: ignore[method-assign]
    with running(container, folder) as emulator:
        error = error_of(emulator, TargetModel="a.tar.gz")
    assert (error["OriginalStatusCode"], error["OriginalMessage"]) == (404, "unknown flower")


@pytest.mark.rule("models-409")
def test_a_model_that_is_loaded_already_is_loaded(folder: Path) -> None:
    container = ManyModels()
    with running(container, folder) as emulator:
        ask(emulator, "a")
        loaded = dict(container.loaded)
    with running(container, folder) as emulator:
        (name,) = loaded
        (emulator.folder / "unpacked" / name / "model").mkdir(parents=True)
        (emulator.folder / "unpacked" / name / "model" / "weights").write_text("z")
        container.loaded[name] = str(emulator.folder / "unpacked" / name / "model")
        assert ask(emulator, "a") == b"z"


@pytest.mark.rule("models-load-error")
def test_a_model_that_cannot_be_loaded_is_a_model_error(folder: Path) -> None:
    with running(ManyModels(), folder) as emulator:
        error = error_of(emulator, TargetModel="broken.tar.gz")
    assert error["OriginalStatusCode"] == 500
    assert error["OriginalMessage"] == '{"message":"no weights"}'


@pytest.mark.rule("models-slow")
def test_a_load_goes_on_when_its_caller_was_told_to_come_again(folder: Path) -> None:
    container = ManyModels()
    container.load_seconds = 0.6
    with running(container, folder, replace(LIMITS, answer=0.3)) as emulator:
        error = error_of(emulator, TargetModel="a.tar.gz")
        assert error["Error"]["Code"] == "ModelNotReadyException"
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 429
        until(lambda: container.loaded)
        assert ask(emulator, "a") == b"a"
    assert sum(line.startswith("load") for line in container.log) == 1


def test_callers_that_wait_for_one_load_share_it(folder: Path) -> None:
    container = ManyModels()
    container.gate.clear()
    with running(container, folder) as emulator, ThreadPoolExecutor() as pool:
        emulator.client()
        waiting = [pool.submit(ask, emulator, "a") for _ in range(4)]
        models = emulator.models
        assert models is not None
        until(lambda: "a.tar.gz" in models._models and models._models["a.tar.gz"].users == 4)
        container.gate.set()
        assert [future.result() for future in waiting] == [b"a"] * 4
    assert sum(line.startswith("load") for line in container.log) == 1


def test_a_container_that_does_not_load_in_time_is_a_model_error(folder: Path) -> None:
    container = ManyModels()
    container.load_seconds = 60
    with running(container, folder, replace(LIMITS, load=0.2)) as emulator:
        error = error_of(emulator, TargetModel="a.tar.gz")
    assert error["OriginalStatusCode"] == 0
