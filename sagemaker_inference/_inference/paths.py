"""A program that answers several paths: each has a handler of its own, and all have one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagemaker_inference._errors import ErrorCode, GenericInferenceToolkitError
from sagemaker_inference._http.error_response import error_response
from sagemaker_inference._inference.inference_handler import InferenceHandler
from sagemaker_inference._program.paths import INVOCATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    from sagemaker_inference._http.messages import Request, Response

    _Item = TypeVar("_Item")


class HandlerOfPaths(InferenceHandler):
    """Answers requests to ``/invocations``, if anything does, and to further paths.

    Args:
        further: the handlers of the further paths.
        **parts: what an `InferenceHandler` is made of.
    """

    def __init__(self, further: Mapping[str, InferenceHandler], **parts: Any) -> None:
        self._further = further
        super().__init__(**parts)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths whose requests it answers."""
        is_main = self.predictor is not None or self.transformer is not None
        return (INVOCATIONS, *self._further) if is_main else tuple(self._further)

    def at(self, path: str, /) -> InferenceHandler:
        """The handler of a path."""
        return self._further.get(path, self)

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        """Answer the requests, in order; see `InferenceHandler.answer`."""
        responses: dict[int, Response] = {}
        for path in dict.fromkeys(request.path for request in requests):
            numbers = [number for number, item in enumerate(requests) if item.path == path]
            answers = await self._answer_at(path, [requests[number] for number in numbers])
            responses.update(zip(numbers, answers, strict=True))
        return [responses[number] for number in range(len(requests))]

    async def _answer_at(self, path: str, requests: list[Request]) -> list[Response]:
        if path in self._further:
            return await self._further[path].answer(requests)
        if path in self.paths:
            return await super().answer(requests)
        error = not_found(path)
        return [error_response(error, item.id, item.accept, path=path) for item in requests]

    def prepare_formats(self) -> None:
        """Import what the first requests would otherwise wait for."""
        super().prepare_formats()
        for handler in self._further.values():
            handler.model, handler.load_context = self.model, self.load_context
            handler.prepare_formats()

    @property
    def has_idle_work(self) -> bool:
        """Whether `use_idle_time` has something to do."""
        return super().has_idle_work or any(item.has_idle_work for item in self._further.values())

    def use_idle_time(self) -> None:
        """Do a piece of work that can wait until no request does."""
        if super().has_idle_work:
            super().use_idle_time()
            return
        for handler in self._further.values():
            if handler.has_idle_work:
                handler.use_idle_time()
                return

    def watch_retries(self, on_retry: Callable[[Sequence[str]], None]) -> None:
        """Have a function called with the ids of requests that are about to be tried once more."""
        super().watch_retries(on_retry)
        for handler in self._further.values():
            handler.watch_retries(on_retry)


def not_found(path: str) -> GenericInferenceToolkitError:
    """The failure of a request to a path that a program does not answer."""
    why = ": the program has no @predictor without a path" if path == INVOCATIONS else ""
    message = f"There is nothing at {path}{why}"
    return GenericInferenceToolkitError(int(ErrorCode.NOT_FOUND.status), message)


def is_urgent(
    items: Sequence[_Item], path_of: Callable[[_Item], str], limits: Mapping[str, int]
) -> bool:
    """Whether one of them gains nothing by waiting for others, since its path has no batches."""
    return any(limits.get(path_of(item), 1) == 1 for item in items)


def parts(
    items: Sequence[_Item], path_of: Callable[[_Item], str], limits: Mapping[str, int]
) -> list[list[_Item]]:
    """Divide what was taken together into calls of the program.

    Args:
        items: what was taken, in order.
        path_of: says the path of one.
        limits: the most of one call, by path.
    """
    found: list[list[_Item]] = []
    last: dict[str, list[_Item]] = {}
    for item in items:
        path = path_of(item)
        part = last.get(path)
        if part is None or len(part) >= limits.get(path, 1):
            part = last[path] = []
            found.append(part)
        part.append(item)
    return found
