"""A batch transform job, as the platform sends it."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sagemaker_inference.codecs import recordio

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

pytestmark = pytest.mark.java

PROGRAM = """
    import numpy
    from sagemaker_inference import model_loader, predictor, serve

    @model_loader
    def load(model_dir):
        return numpy.array([[1.0], [10.0]])

    @predictor(on_bad_record="placeholder")
    def predict(data: numpy.ndarray, weights):
        return data @ weights

    serve(__name__)
"""


def frame(*values: float) -> bytes:
    return recordio.encode(np.array([values]))


def test_a_job_loses_no_file_over_one_bad_record(serve: Callable[..., Server]) -> None:
    server = serve(PROGRAM, workers=2, env={"SAGEMAKER_BATCH": "true"})
    parameters = json.loads(server.request(method="GET", path="/execution-parameters").body)
    assert parameters == {"MaxConcurrentTransforms": 2, "MaxPayloadInMB": 6}
    csv = [b"1,2\n", b"3,four\n", b"5,6\n"]
    lines = [b"[1, 2]\n", b"{}\n", b"[5, 6]\n"]
    records = [frame(1, 2), frame(3), frame(5, 6)]
    for content_type, parts in (
        ("text/csv", csv),
        ("application/jsonlines", lines),
        ("application/x-recordio-protobuf", records),
    ):
        headers = {"Content-Type": content_type, "Accept": "text/csv"}
        # MultiRecord; SingleRecord; and MaxPayloadInMB=0, which is sent in chunks.
        assert server.request(b"".join(parts), headers).body == b'21.0\n""\n65.0\n'
        answers = [server.request(part, headers) for part in parts]
        assert [reply.status for reply in answers] == [200] * 3
        assert b"".join(reply.body for reply in answers) == b'21.0\n""\n65.0\n'
        assert server.request(iter(parts), headers).body == b'21.0\n""\n65.0\n'
        # Accept may be missing.
        reply = server.request(b"".join(parts), {"Content-Type": content_type})
        assert (reply.status, reply.json[::2]) == (200, [[21.0], [65.0]])
    server.wait_for_log("record 2 of 3 is a placeholder")


def test_as_many_requests_as_it_asks_for_are_answered(serve: Callable[..., Server]) -> None:
    env = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "100"}
    server = serve(PROGRAM, workers=2, env={**env, "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"})
    parameters = json.loads(server.request(method="GET", path="/execution-parameters").body)
    assert parameters == {"MaxConcurrentTransforms": 100, "MaxPayloadInMB": 1}
    body = b"1,2\n" * (1 << 18)
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    with ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(server.request, itertools.repeat(body, 100), [headers] * 100))
    assert {(reply.status, reply.body == b"21.0\n" * (1 << 18)) for reply in replies} == {
        (200, True)
    }
