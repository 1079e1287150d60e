"""The default handler of a framework's container: its models are words and weights, as JSON."""

import json
from pathlib import Path

from sagemaker_inference.default_inference_handler import DefaultInferenceHandler


class WordsHandler(DefaultInferenceHandler):
    """Used for the functions that the user's program does not define."""

    def default_model_fn(self, model_dir):
        return json.loads(Path(model_dir, "words.json").read_text())

    def default_predict_fn(self, data, model):
        return [sum(model.get(word, 0) for word in text.split()) for text in data.tolist()]
