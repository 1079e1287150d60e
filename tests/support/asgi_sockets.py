"""A program that talks over WebSockets, for tests of the ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import Fragment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH: Final = "/invocations-bidirectional-stream"


async def echo(messages: Any, model: Any, context: Any) -> AsyncIterator[Any]:
    async for message in messages:
        if message == "end":
            return
        if message == "fail":
            raise ValueError
        if message == "where":
            yield f"{context.path}?{context.query}"
        elif message == "fragments":
            yield Fragment(b"a", is_text=True, is_last=False)
            yield Fragment(b"b", is_text=True)
            yield Fragment(b"c")
        else:
            yield message
