"""Formats by hand, by the fastest means at hand, for contenders that have none of their own."""

import io

import numpy as np
import orjson
import task


def decode(body, content_type):
    """A body as a float64 array; bytes as they are."""
    if content_type == task.JSON:
        return np.array(orjson.loads(body), dtype=np.float64)
    if content_type == task.CSV:
        return np.loadtxt(io.BytesIO(body), delimiter=",", ndmin=2)
    if content_type == task.NPY:
        return np.load(io.BytesIO(body), allow_pickle=False)
    return body


def decode_tokens(body):
    """A JSON body as an int64 array."""
    return np.array(orjson.loads(body), dtype=np.int64)


def encode(prediction, content_type):
    """The answer in the same format."""
    if content_type == task.JSON:
        return orjson.dumps(prediction, option=orjson.OPT_SERIALIZE_NUMPY)
    if content_type == task.CSV:
        return "".join(",".join(map(repr, row)) + "\n" for row in prediction.tolist()).encode()
    if content_type == task.NPY:
        file = io.BytesIO()
        np.save(file, prediction, allow_pickle=False)
        return file.getvalue()
    return prediction


def answer(body, content_type):
    """The whole path of a request in the modes ``plain`` and ``many``."""
    return encode(task.predict(decode(body, content_type)), content_type)
