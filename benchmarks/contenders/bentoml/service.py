"""The service that server.py has BentoML serve.

JSON goes through its typed interface. Other formats go through a mounted ASGI application, which is
its documented way to bodies of one's own.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

import bentoml
import by_hand
import numpy as np
import task
from bentoml.validators import DType
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Array = Annotated[np.ndarray, DType("float64")]


async def invoke(request: Request) -> Response:
    content_type = request.headers["content-type"]
    return Response(by_hand.answer(await request.body(), content_type), media_type=content_type)


@bentoml.service(workers=1)
@bentoml.asgi_app(Starlette(routes=[Route("/invocations", invoke, methods=["POST"])]), path="/raw")
class Double:
    if task.MODE == "batched":

        @bentoml.api(route="/invocations", batchable=True, max_batch_size=task.MAX_BATCH)
        def predict(self, data: Array, /) -> Array:
            return task.predict_slowly(data)

    elif task.MODE == "stream":

        @bentoml.api(route="/invocations")
        async def stream(self, data: Array, /) -> AsyncGenerator[str]:
            for item in task.ITEMS:
                yield f"data: {item}\n\n"

    else:

        @bentoml.api(route="/invocations")
        def predict(self, data: Array, /) -> Array:
            if task.MODE == "plain":
                return task.predict(data)
            return task.predict_slowly(data)
