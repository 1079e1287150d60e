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

if task.MODE == "encoder":
    import encoder


async def read(request: Request):
    return await request.body(), request.headers["content-type"]


class Api(litserve.LitAPI):
    def setup(self, device):
        self.run_model = task.predict if task.IS_QUICK else task.predict_slowly

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


class Encode(litserve.LitAPI):
    def setup(self, device):
        self.model = encoder.load()

    def decode_request(self, request: Annotated[tuple, Depends(read)]):
        return by_hand.decode_tokens(request[0])

    def batch(self, inputs):
        return np.concatenate(inputs)

    def predict(self, tokens):
        task.count(len(tokens))
        return encoder.predict(self.model, tokens)

    def unbatch(self, output):
        return np.split(output, len(output))

    def encode_response(self, output):
        return Response(by_hand.encode(output, task.JSON), media_type=task.JSON)


class Stream(litserve.LitAPI):
    """In an event loop, where its worker has several streams at the same time."""

    def setup(self, device):
        pass

    async def decode_request(self, request: Annotated[tuple, Depends(read)]):
        body, content_type = request
        return by_hand.decode(body, content_type)

    async def predict(self, data):
        for item in task.ITEMS:
            yield item

    async def encode_response(self, output):
        async for item in output:
            yield f"data: {item}\n\n"


if __name__ == "__main__":
    size = task.MAX_BATCH if task.MODE == "batched" else 1
    accelerator, front_ends = "cpu", 1
    if task.MODE == "encoder":
        # Several processes for HTTP: machines with a GPU have cores for them.
        accelerator, front_ends = encoder.DEVICE, 4
        # In seconds: about as long as a batch takes on a GPU, as mosec has it.
        api = Encode(max_batch_size=task.MAX_BATCH, batch_timeout=0.005, api_path="/invocations")
    elif task.MODE == "stream":
        api = Stream(stream=True, enable_async=True, api_path="/invocations")
    elif task.MODE == "many":
        api = [Api(api_path=f"/models/{name}/invoke") for name in task.MODELS]
    else:
        api = Api(max_batch_size=size, api_path="/invocations")
    server = litserve.LitServer(api, accelerator=accelerator, workers_per_device=1)
    server.run(
        host=task.HOST,
        port=task.PORT,
        num_api_servers=front_ends,
        log_level="warning",
        generate_client_file=False,
    )
