"""Sessions that end while a request uses them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from support.session_programs import ID, made, program, request

if TYPE_CHECKING:
    from sagemaker_inference import Registry


def test_a_request_may_outlast_the_end_of_all_sessions(registry: Registry) -> None:
    gate = asyncio.Event()

    async def predict(data: Any) -> Any:
        await gate.wait()
        return data

    handler = program(registry, predict)
    sessions = handler.sessions
    assert sessions is not None

    async def use() -> None:
        gate.set()
        [begun] = await handler.answer([request(1, "NEW_SESSION")])
        session = begun.headers[ID].partition(";")[0]
        gate.clear()
        waiting = asyncio.ensure_future(handler.answer([request(1, session)]))
        await asyncio.sleep(0)
        await sessions.end_all()
        gate.set()
        [last] = await waiting
        assert last.status == 200
        # It is not kept by that.
        [gone] = await handler.answer([request(1, session)])
        assert gone.status == 404

    handler.run(use())
    made.pop().close()
