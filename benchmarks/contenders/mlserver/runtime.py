"""MLServer's model: a custom endpoint, or its V2 protocol where it is to batch."""

import asyncio

import by_hand
import task
from fastapi import Request, Response
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse


class Double(MLModel):
    async def load(self) -> bool:
        return True

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

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        data = NumpyCodec.decode_input(payload.inputs[0])
        prediction = await asyncio.to_thread(task.predict_slowly, data)
        output = NumpyCodec.encode_output("prediction", prediction)
        return InferenceResponse(model_name=self.name, outputs=[output])
