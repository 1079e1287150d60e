"""Classify texts with a model of Hugging Face's transformers.

In: a list of texts, as JSON. Out: a label for each, as JSON.

Requests that arrive during a prediction are tokenized and predicted together. A request may have
several texts, and keeps its own.
"""

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sagemaker_inference import before_load, model_loader, predictor, serve


@before_load
def limit_threads():
    # There is a worker for each processor.
    torch.set_num_threads(1)


@model_loader
def load(model_dir):
    # Both are read from the folder alone: nothing is downloaded when a container starts.
    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(model_dir, local_files_only=True)
    return tokenizer, model.eval()


@predictor(max_batch_size=16)
def classify(batch: list[list[str]], loaded):
    tokenizer, model = loaded
    texts = [text for request in batch for text in request]
    if not texts:
        return batch
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        best = model(**tokens).logits.argmax(dim=1).tolist()
    labels = iter([model.config.id2label[index] for index in best])
    return [[next(labels) for _ in request] for request in batch]


serve(__name__)
