"""Ray Serve: one replica behind its proxy, formats by hand, its own batching."""

import os
import signal
import tempfile
import threading

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import by_hand
import numpy as np
import ray
import task
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Double:
    @serve.batch(max_batch_size=task.MAX_BATCH, batch_wait_timeout_s=0.0)
    async def together(self, data: list) -> list:
        return list(task.predict_slowly(np.stack(data)))

    async def __call__(self, request: Request) -> Response:
        content_type = request.headers["content-type"]
        data = by_hand.decode(await request.body(), content_type)
        if task.MODE == "plain":
            prediction = task.predict(data)
        elif task.MODE == "slow":
            prediction = task.predict_slowly(data)
        else:
            prediction = await self.together(data)
        return Response(by_hand.encode(prediction, content_type), media_type=content_type)


if __name__ == "__main__":
    # Its sockets' paths have at most 107 bytes.
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _temp_dir=tempfile.gettempdir(),
        object_store_memory=100_000_000,
        runtime_env={"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}},
    )
    serve.start(http_options={"host": task.HOST, "port": task.PORT})
    serve.run(Double.bind(), route_prefix="/invocations")
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    over.wait()
    serve.shutdown()
    ray.shutdown()
