"""Score reviews, one JSON record a line: a program for batch transform jobs.

In: JSON Lines of records with `id` and `text`. Out: a record for each.

The job cuts its files into requests of many lines. `on_bad_record="placeholder"` answers a record
that cannot be read with an error in its place, so that one of a million does not fail the job.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from sagemaker_inference import model_loader, predictor, serve


@dataclass
class Review:
    """A record."""

    id: int
    text: str


@model_loader
def load(model_dir):
    return json.loads(Path(model_dir, "words.json").read_text())


@predictor(on_bad_record="placeholder")
def score(data: list[Review], words):
    return [
        {"id": review.id, "score": sum(words.get(word, 0) for word in review.text.lower().split())}
        for review in data
    ]


serve(__name__)
