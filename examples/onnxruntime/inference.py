"""Name irises with ONNX Runtime.

In: rows of four lengths in centimetres, as CSV, JSON or NPY. Out: a species for each row.

PyTorch, TensorFlow and scikit-learn all export models of this format, and the runtime is a fraction
of their size. A session has one thread: the server has a worker for each processor.
"""

from pathlib import Path

import numpy as np
import onnxruntime

from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError

SPECIES = np.array(["setosa", "versicolor", "virginica"])
COLUMNS = 4


@model_loader
def load(model_dir):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        Path(model_dir, "model.onnx"), options, providers=["CPUExecutionProvider"]
    )


@predictor(max_batch_size=32, collate="concatenate")
def predict(data: np.ndarray, session):
    if data.shape[1:] != (COLUMNS,):
        message = f"Send rows of {COLUMNS} numbers: lengths in centimetres."
        raise UnprocessableInputError(message)
    (probabilities,) = session.run(None, {"lengths": data.astype(np.float32)})
    return SPECIES[probabilities.argmax(axis=1)]


serve(__name__)
