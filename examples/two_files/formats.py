"""Formats that are not built in: points as lines of "x y", predictions as a Markdown table."""

import numpy as np

from sagemaker_inference import decoder, encoder
from sagemaker_inference.errors import DecodeError


@decoder("text/x-points")
def read_points(body: str):
    points = []
    for number, line in enumerate(body.splitlines(), 1):
        try:
            x, y = map(float, line.split())
        except ValueError:
            message = f'line {number} is not "x y": {line[:40]!r}'
            raise DecodeError(message) from None
        points.append((x, y))
    return np.array(points).reshape(-1, 2)


@encoder("text/markdown")
def write_table(prediction):
    lines = ["| nearest | distance |", "| --- | ---: |"]
    lines += [f"| {name} | {distance:.1f} |" for name, distance in prediction]
    return "\n".join(lines) + "\n"
