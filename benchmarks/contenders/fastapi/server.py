"""FastAPI, uvicorn and orjson, by hand: one process, uvloop, no access log, no batching."""

from collections.abc import AsyncIterator

import by_hand
import task
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

app = FastAPI()

if task.MODE == "plain":

    @app.post("/invocations")
    async def invoke(request: Request) -> Response:
        content_type = request.headers["content-type"]
        body = await request.body()
        return Response(by_hand.answer(body, content_type), media_type=content_type)

elif task.MODE == "many":
    models = dict.fromkeys(task.MODELS, task.predict)

    @app.post("/models/{name}/invoke")
    async def invoke_model(name: str, request: Request) -> Response:
        content_type = request.headers["content-type"]
        data = by_hand.decode(await request.body(), content_type)
        return Response(by_hand.encode(models[name](data), content_type), media_type=content_type)

elif task.MODE == "stream":

    @app.post("/invocations")
    async def stream(request: Request) -> StreamingResponse:
        by_hand.decode(await request.body(), request.headers["content-type"])

        async def events() -> AsyncIterator[str]:
            for item in task.ITEMS:
                yield f"data: {item}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

else:

    @app.post("/invocations")
    async def invoke_slowly(request: Request) -> Response:
        content_type = request.headers["content-type"]
        data = by_hand.decode(await request.body(), content_type)
        # The loop goes on while the model works.
        prediction = await run_in_threadpool(task.predict_slowly, data)
        return Response(by_hand.encode(prediction, content_type), media_type=content_type)


uvicorn.run(app, host=task.HOST, port=task.PORT, access_log=False, log_level="warning")
