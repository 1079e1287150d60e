"""MLServer's model: a custom endpoint, or its V2 protocol for batches, streams and many models."""

import asyncio
from collections.abc import AsyncIterator

import by_hand
import task
from fastapi import Request, Response
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse


class InV2(MLModel):
    """What it has by its protocol: batches, streams, many models."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        data = NumpyCodec.decode_input(payload.inputs[0])
        if task.IS_QUICK:
            prediction = task.predict(data)
        else:
            prediction = await asyncio.to_thread(task.predict_slowly, data)
        output = NumpyCodec.encode_output("prediction", prediction)
        return InferenceResponse(model_name=self.name, outputs=[output])

    async def predict_stream(
        self, payloads: AsyncIterator[InferenceRequest]
    ) -> AsyncIterator[InferenceResponse]:
        async for payload in payloads:
            NumpyCodec.decode_input(payload.inputs[0])
            for item in task.ITEMS:
                output = StringCodec.encode_output("prediction", [item])
                yield InferenceResponse(model_name=self.name, outputs=[output])


class Double(InV2):
    @custom_handler(rest_path="/invocations")
    async def invoke(self, request: Request) -> Response:
        content_type = request.headers["content-type"]
        data = by_hand.decode(await request.body(), content_type)
        if task.MODE == "plain":
            prediction = task.predict(data)
        else:
            # The loop goes on while the model works.
            prediction = await asyncio.to_thread(task.predict_slowly, data)
        return Response(by_hand.encode(prediction, content_type), media_type=content_type)
