"""Say which colours a picture has.

In: a picture, as JPEG, PNG or WebP. Out: colours with their shares, the largest first.

The hint `Image.Image` gets a picture of Pillow, whatever format the client sends. What is not a
picture is answered 4xx. A network would take the same small picture, as an array.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sagemaker_inference import model_loader, predictor, serve

SIZE = (32, 32)


@model_loader
def load(model_dir):
    colours = json.loads(Path(model_dir, "colours.json").read_text())
    return list(colours), np.array(list(colours.values()))


@predictor
def predict(picture: Image.Image, colours):
    names, values = colours
    pixels = np.asarray(picture.convert("RGB").resize(SIZE), dtype=int).reshape(-1, 1, 3)
    nearest = ((pixels - values) ** 2).sum(axis=2).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(names)) / len(nearest)
    return {names[index]: shares[index] for index in (-shares).argsort(kind="stable")[:3]}


serve(__name__)
