"""The decorator @bidirectional: what it takes, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.builders import config

from sagemaker_inference import Registry, assemble
from sagemaker_inference._program import roles
from sagemaker_inference.errors import RegistrationError, StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def talk(messages: Any, model: Any, context: Any) -> AsyncIterator[Any]:
    yield messages, model, context


async def other(messages: Any) -> AsyncIterator[Any]:
    yield messages


def options(registry: Registry) -> list[tuple[str, int, bool]]:
    found = [item.socket for item in registry.find(roles.BIDIRECTIONAL)]
    return [(it.path, it.max_message, it.raw) for it in found if it]


def test_it_registers_and_returns_the_function(registry: Registry) -> None:
    assert registry.bidirectional(talk) is talk
    assert registry.bidirectional("/v1/realtime", max_message=5, raw=True)(other) is other
    assert options(registry) == [
        ("/invocations-bidirectional-stream", 1 << 20, False),
        ("/v1/realtime", 5, True),
    ]
    assert registry.bidirectional(max_message=7)(talk) is talk
    assert options(registry)[1] == ("/invocations-bidirectional-stream", 7, False)


def test_a_path_has_one_handler(registry: Registry) -> None:
    registry.bidirectional(talk)
    with pytest.raises(RegistrationError, match=r"@bidirectional on other \(.*\) conflicts with"):
        registry.bidirectional(other)


async def no_yield(messages: Any) -> None: ...


def not_async(messages: Any) -> Any:
    yield messages


class Callable:
    async def __call__(self, messages: Any) -> AsyncIterator[Any]:
        yield messages


def test_a_callable_may_be_one(registry: Registry) -> None:
    registry.bidirectional(Callable())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            no_yield,
            r"no_yield \(.*test_bidirectional.py, line \d+\), which is not an async generator: it ",
        ),
        (not_async, r"not an async generator: it is not async. Write: async def not_async\("),
        (5, "@bidirectional got the path 5, which is not a path"),
    ],
)
def test_what_is_not_an_async_generator_is_refused(
    registry: Registry, function: Any, message: str
) -> None:
    with pytest.raises(RegistrationError, match=message):
        registry.bidirectional(function)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "1", 1 << 29])
def test_a_size_is_a_number_of_bytes(registry: Registry, size: Any) -> None:
    with pytest.raises(RegistrationError, match="max_message must be an integer from 1 to"):
        registry.bidirectional(max_message=size)


@pytest.mark.parametrize("path", ["/ping", "v1/realtime", "/invocations", ""])
def test_paths_of_the_platform_are_refused(registry: Registry, path: str) -> None:
    with pytest.raises(RegistrationError, match="@bidirectional got the path"):
        registry.bidirectional(path)


@pytest.mark.parametrize("batching", [{"threads": 2}, {"max_batch_size": 2}])
def test_a_predictor_beside_it_has_the_event_loop(
    registry: Registry, batching: dict[str, Any]
) -> None:
    registry.model_loader(lambda: None)
    registry.bidirectional(talk)
    registry.predictor(**batching)(lambda data: data)
    with pytest.raises(StartError, match=r"@bidirectional on talk .* cannot have threads or max_"):
        assemble(registry, config=config())


def test_a_program_with_it_runs_in_an_event_loop(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.bidirectional(talk)
    handler = assemble(registry)
    assert handler.concurrency.is_async
    assert handler.sockets is not None
    assert [item.path for item in handler.sockets.options] == ["/invocations-bidirectional-stream"]


def test_most_programs_have_none(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    handler = assemble(registry)
    assert handler.sockets is None
    assert not handler.concurrency.is_async
