"""Ray Serve: one replica behind its proxy, formats by hand, its own batching."""

from collections.abc import AsyncIterator

import by_hand
import numpy as np
import on_ray
import task
from ray import serve
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse


async def events() -> AsyncIterator[str]:
    for item in task.ITEMS:
        yield f"data: {item}\n\n"


@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Double:
    @serve.batch(max_batch_size=task.MAX_BATCH, batch_wait_timeout_s=0.0)
    async def together(self, data: list) -> list:
        return list(task.predict_slowly(np.stack(data)))

    @serve.multiplexed(max_num_models_per_replica=len(task.MODELS))
    async def model(self, name: str):
        return task.predict

    async def __call__(self, request: Request) -> Response:
        content_type = request.headers["content-type"]
        if task.MODE == "stream":
            by_hand.decode(await request.body(), content_type)
            return StreamingResponse(events(), media_type="text/event-stream")
        data = by_hand.decode(await request.body(), content_type)
        if task.MODE == "plain":
            prediction = task.predict(data)
        elif task.MODE == "many":
            model = await self.model(serve.get_multiplexed_model_id())
            prediction = model(data)
        elif task.MODE == "slow":
            prediction = task.predict_slowly(data)
        else:
            prediction = await self.together(data)
        return Response(by_hand.encode(prediction, content_type), media_type=content_type)


if __name__ == "__main__":
    on_ray.serve_with(lambda: serve.run(Double.bind(), route_prefix="/invocations"))
