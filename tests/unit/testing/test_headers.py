"""Headers that no client could send are refused, wherever the program runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference.testing import ServerProcess, TestClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sagemaker_inference import Context, Registry

UNSENDABLE: list[tuple[Mapping[Any, Any], type[Exception], str]] = [
    ({"X-A": "a\r\nX-B: b"}, ValueError, r"the value 'a\\r\\nX-B: b' of the header X-A cannot be"),
    ({"X-A": "a\0"}, ValueError, "leave out line ends and other control characters"),
    ({"X-A": "\ud800"}, ValueError, "of the header X-A cannot be sent"),
    ({"X-Ä": "a"}, ValueError, "'X-Ä' is not the name of a header"),
    ({"X A": "a"}, ValueError, "'X A' is not the name of a header"),
    ({"": "a"}, ValueError, "'' is not the name of a header"),
    ({"X-A": 5}, TypeError, "header 'X-A': 5 cannot be sent: both have to be of type str"),
    ({b"X-A": "a"}, TypeError, "header b'X-A': 'a' cannot be sent"),
]


def echo(registry: Registry) -> None:
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data: Any, model: None, context: Context) -> Any:
        return context.headers.get("X-A")

    @registry.bidirectional
    async def talk(messages: Any) -> Any:
        async for message in messages:
            yield message


@pytest.mark.parametrize(("headers", "kind", "problem"), UNSENDABLE)
def test_what_cannot_be_sent_is_refused(
    registry: Registry, headers: Mapping[Any, Any], kind: type[Exception], problem: str
) -> None:
    echo(registry)
    with TestClient(registry) as client:
        sends: list[Callable[[], Any]] = [
            lambda: client.invoke(1, headers=headers),
            lambda: client.request("GET", "/ping", headers=headers),
            lambda: client.websocket(headers=headers),
            lambda: client.stream(1, headers=headers).__enter__(),
        ]
        for send in sends:
            with pytest.raises(kind, match=problem):
                send()


def test_none_leaves_a_header_out(registry: Registry) -> None:
    echo(registry)
    none: dict[str, str | None] = {"X-A": None, "Content-Type": "application/json"}
    with TestClient(registry) as client:
        assert client.invoke(1, headers=none).json() is None
        assert client.request("POST", "/invocations", b"1", none).json() is None
        assert client.ping().status_code == client.request("GET", "/ping", b"", none).status_code
        with client.stream(1, headers=none) as stream:
            assert stream.read() == b"null"
        with client.websocket(headers=none) as websocket:
            websocket.send("1")
            assert websocket.receive() == "1"
        # A body without a type.
        assert client.invoke(b"1", content_type=None).status_code == 200
        assert client.invoke("1", content_type=None).status_code == 200
        with pytest.raises(TypeError, match="no built-in format writes None: pass the body as by"):
            client.invoke([1], content_type=None)


def test_what_is_not_latin_arrives_as_it_is(registry: Registry) -> None:
    echo(registry)
    with TestClient(registry) as client:
        assert client.invoke(1, headers={"X-A": " ä\t東 "}).json() == "ä\t東"


def test_a_server_is_sent_nothing_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "inference.py"
    path.touch()
    server = ServerProcess(path)
    for headers, kind, problem in UNSENDABLE:
        with pytest.raises(kind, match=problem):
            server.request("GET", "/ping", headers=headers)
