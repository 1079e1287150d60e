"""LitServe: bytes in and out of its worker, formats by hand; its own batching.

Its default request is parsed by the standard library's json before it is handed on. A FastAPI
dependency takes the raw body instead, which is faster and the only way to other formats.
"""

from typing import Annotated

import by_hand
import litserve
import numpy as np
import task
from fastapi import Depends, Request, Response


async def read(request: Request):
    return await request.body(), request.headers["content-type"]


class Api(litserve.LitAPI):
    def setup(self, device):
        self.run_model = task.predict if task.MODE == "plain" else task.predict_slowly

    def decode_request(self, request: Annotated[tuple, Depends(read)], context):
        body, context["type"] = request
        return by_hand.decode(body, context["type"])

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, data):
        return self.run_model(data)

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output, context):
        return Response(
            by_hand.encode(np.ascontiguousarray(output), context["type"])
            if isinstance(output, np.ndarray)
            else output,
            media_type=context["type"],
        )


if __name__ == "__main__":
    size = task.MAX_BATCH if task.MODE == "batched" else 1
    api = Api(max_batch_size=size, api_path="/invocations")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host=task.HOST,
        port=task.PORT,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
