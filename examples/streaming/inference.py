"""Continue a text word by word; each word is sent as soon as there is one.

The model is a table of the words that may follow a word. Its format is the client's choice: the
same generator answers with JSON Lines, server-sent events or one JSON array.
"""

import json
from pathlib import Path

from sagemaker_inference import model_loader, predictor, serve


@model_loader
def load(model_dir):
    return json.loads(Path(model_dir, "next.json").read_text())


@predictor
def generate(data: dict, table):
    words = data["prompt"].lower().split()
    word = words[-1] if words else ""
    for index in range(data.get("max_words", 8)):
        followers = table.get(word)
        if not followers:
            return
        # A language model draws at random; this one takes turns.
        word = followers[index % len(followers)]
        yield {"index": index, "text": word}


serve(__name__)
