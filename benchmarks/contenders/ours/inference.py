"""This project: a decorated program, its own codecs and batching."""

import numpy as np
import task
from sagemaker_inference import model_loader, predictor, serve


@model_loader
def load(model_dir):
    return np.ones(500_000_000 // 8) if task.MODE == "large" else None


if task.MODE == "plain":

    @predictor
    def predict(data):
        return task.predict(data)

elif task.MODE == "slow":

    @predictor
    def predict_slowly(data):
        return task.predict_slowly(data)

elif task.MODE == "batched":

    @predictor(max_batch_size=task.MAX_BATCH)
    def predict_together(data):
        return list(task.predict_slowly(np.stack(data)))

else:

    @predictor(threads=4)
    def predict_with_large(data, model):
        return data * (2 * model[0])


serve(__name__, model_dir=".", host=task.HOST, port=task.PORT)
