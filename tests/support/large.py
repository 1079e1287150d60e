"""Bodies as large as SageMaker passes on."""

from __future__ import annotations

import json

import numpy as np

SIZE = 25_000_000


def repeated(text, size=SIZE, start=b"", end=b""):
    return start + text * ((size - len(start) - len(end)) // len(text)) + end


def records():
    rng = np.random.default_rng(0)
    rows = [
        {"id": number, "name": f"name {number % 977}", "score": score, "is_new": False}
        for number, score in enumerate(rng.random(20_000).tolist())
    ]
    return [json.dumps(row).encode() for row in rows]


def large_json():
    text = b",".join(records())
    return b"[" + b",".join([text] * (SIZE // len(text))) + b"]"
