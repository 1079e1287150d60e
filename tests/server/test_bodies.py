"""What goes in and out: sizes, forms, answers that cannot be sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

UNSENDABLE = """
    from sagemaker_inference import model_loader, serve, transformer

    @model_loader
    def load(model_dir):
        return None

    @transformer
    def transform(model, body: str, content_type, accept, context):
        if body == "name":
            context.response_headers["X A"] = "a"
        if body == "value":
            context.response_headers["X-A"] = "a\\r\\nEvil: 1"
        return b"x" * (2 << 20) if body == "size" else body

    serve(__name__)
"""


BACK_AGAIN = """
    from sagemaker_inference import model_loader, serve, transformer

    @model_loader
    def load(model_dir):
        return None

    @transformer
    def transform(model, body: memoryview, content_type, accept):
        return body, "application/octet-stream"

    serve(__name__)
"""


REPEATED = """
    from sagemaker_inference import model_loader, serve, transformer

    @model_loader
    def load(model_dir):
        return None

    @transformer
    def transform(model, body: str, content_type, accept):
        return b"x" * int(body), "application/octet-stream"

    serve(__name__)
"""


def test_large_bodies_go_both_ways(serve: Serve) -> None:
    server = serve(BACK_AGAIN)
    body = os.urandom(1024) * (25 * 1024)
    replies = server.all_at_once([body] * 4)
    assert [(reply.status, reply.body == body) for reply in replies] == [(200, True)] * 4


@pytest.mark.parametrize("way", ["Content-Length", "chunks"])
def test_a_body_of_asynchronous_inference_goes_through_all_processes(
    serve: Serve, way: str
) -> None:
    env = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1024", "SAGEMAKER_MAX_RESPONSE_IN_MB": "300"}
    server = serve(BACK_AGAIN, env=env)
    piece = os.urandom(1 << 20)
    body: Any = (piece for _ in range(300)) if way == "chunks" else piece * 300
    reply = server.request(body)
    assert (reply.status, len(reply.body)) == (200, 300 << 20)
    assert reply.body == piece * 300


def test_a_front_end_with_little_memory_starts_and_passes_the_largest_answer_on(
    serve: Serve,
) -> None:
    # What a container of 512 MB leaves it.
    limits = "-Xmx64m -XX:MaxDirectMemorySize=164m"
    env = {"SAGEMAKER_MODEL_SERVER_VMARGS": limits, "SAGEMAKER_BATCH": "true"}
    server = serve(REPEATED, env=env)
    reply = server.request(str(100 << 20))
    assert (reply.status, len(reply.body)) == (200, 100 << 20)
    reply = server.request(str((100 << 20) + 1))
    assert (reply.status, reply.json["error"]["code"]) == (500, "unencodable_prediction")


def test_the_front_end_has_room_for_many_bodies_of_the_limit_at_once(serve: Serve) -> None:
    server = serve(BACK_AGAIN, env={"SAGEMAKER_MAX_PAYLOAD_IN_MB": "8"})
    body = os.urandom(1024) * (8 * 1024)
    for _ in range(3):
        replies = server.all_at_once([body] * 16)
        assert [(reply.status, reply.body == body) for reply in replies] == [(200, True)] * 16


def test_a_body_over_the_limit_is_413(shared: Serve) -> None:
    server = shared(env={"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"})
    assert server.request("[" + "1," * 400_000 + "1]").status == 200
    assert server.request(b" " * (2 * 1024 * 1024)).status == 413


def test_the_limit_itself_is_served_and_what_is_far_over_is_413(shared: Serve) -> None:
    server = shared(env={"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"})
    for size in (1 << 20, (1 << 20) + 1, (1 << 20) + 5000):
        assert server.request(b"1" + b" " * (size - 1)).status == 200
    assert server.request(b" " * (1 << 21)).status == 413


def test_answers_that_the_front_end_cannot_send_are_honest_failures(serve: Serve) -> None:
    server = serve(UNSENDABLE, env={"SAGEMAKER_MAX_RESPONSE_IN_MB": "1"})
    for body, words in (
        ("name", "'X A' is not the name"),
        ("size", "SAGEMAKER_MAX_RESPONSE_IN_MB"),
    ):
        reply = server.request(body)
        assert (reply.status, reply.json["error"]["code"]) == (500, "unencodable_prediction")
        assert words in reply.json["error"]["message"]
        server.wait_for_log(f"request {reply.headers['x-request-id']}: the answer cannot be sent")
    reply = server.request("value")
    assert (reply.status, reply.headers["x-a"]) == (200, "a Evil: 1")
    assert "evil" not in reply.headers


def test_forms_come_as_their_fields(shared: Serve) -> None:
    server = shared()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.request("a=1&body=2", form).json == {"a": "1", "body": "2"}
    multipart = {"Content-Type": "multipart/form-data; boundary=xx"}
    part = '--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\nhello\r\n'
    reply = server.request(part + "--xx--\r\n", multipart)
    assert (reply.status, reply.json) == (200, {"a": "hello"})
    assert server.request(part[:30], multipart).status == 400
    assert server.request("[1]", path="/invocations?body=9").json == [1]
