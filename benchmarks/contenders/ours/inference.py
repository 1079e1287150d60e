"""This project: a decorated program, its own codecs and batching."""

import asyncio
import os
import sys
from pathlib import Path

import numpy as np
import task
from sagemaker_inference import model_loader, predictor, serve

if task.MODE == "encoder":
    import encoder


@model_loader
def load(model_dir):
    if task.MODE == "encoder":
        return encoder.load()
    return np.ones(500_000_000 // 8) if task.MODE == "large" else None


if task.IS_QUICK:

    @predictor
    def predict(data):
        return task.predict(data)

elif task.MODE in {"slow", "single"}:

    @predictor
    def predict_slowly(data):
        return task.predict_slowly(data)

elif task.MODE == "encoder":

    @predictor(max_batch_size=task.MAX_BATCH, collate="concatenate")
    def classify(tokens: np.ndarray, model):
        task.count(len(tokens))
        return encoder.predict(model, tokens)

elif task.MODE in task.BATCHES:

    @predictor(max_batch_size=task.MAX_BATCH)
    def predict_together(data):
        return task.predict_together(data)

elif task.MODE == "stream":

    @predictor(max_concurrency=task.STREAMS)
    async def stream(data):
        for item in task.ITEMS:
            yield item

elif task.MODE == "idle":

    @predictor(max_concurrency=task.IDLE)
    async def idle(data):
        yield task.ITEMS[0]
        if isinstance(data, dict):
            await asyncio.sleep(3600)

else:

    @predictor(threads=4)
    def predict_with_large(data, model):
        return data * (2 * model[0])


if task.MODE != "many":
    serve(__name__, model_dir=".", host=task.HOST, port=task.PORT)
elif __name__ == "__main__":
    import on_demand

    on_demand.make_models(Path(__file__).read_text())
    on_demand.load_models()
    os.environ["SAGEMAKER_MULTI_MODEL"] = "true"
    os.environ["SAGEMAKER_BIND_TO_HOST"] = task.HOST
    os.environ["SAGEMAKER_BIND_TO_PORT"] = str(task.PORT)
    command = str(Path(sys.executable).with_name("sagemaker-inference"))
    os.execv(command, [command, "serve"])
