"""Programs that answer several paths, and the paths of OpenAI's API among them."""

import asyncio
import json
import logging
from types import ModuleType

import pytest
from support.builders import answer, answers, error_of, loaded

from sagemaker_inference._aws.fallback import registry_of
from sagemaker_inference._aws.script_functions import adopt
from sagemaker_inference._http.messages import Headers, Part, Request
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._inference.paths import parts
from sagemaker_inference._inference.streams import whole_answers
from sagemaker_inference._program.concurrency import Concurrency
from sagemaker_inference._program.registry import Registry
from sagemaker_inference.errors import StartError, UnprocessableInputError

CHAT = "/v1/chat/completions"


def asked(data, path=CHAT, accept="", content_type="application/json"):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Request.from_body(body, content_type, accept, id="id-1", path=path)


def whole(registry, request):
    """The answer to a request, a stream in one piece."""
    handler = loaded(registry)
    [response] = asyncio.run(whole_answers(handler, [request]))
    return response


@pytest.fixture
def program(registry):
    registry.model_loader(lambda: 3)
    return registry


def predict(data, model):
    return {"main": data * model}


def tokens(data, model, context):
    yield {"text": "a", "path": context.path}
    if data.get("fails"):
        raise UnprocessableInputError("Too hot.")
    yield {"text": "b"}


def test_each_path_has_its_handler_and_all_have_one_model(program):
    program.predictor(predict)
    program.predictor("/embed")(lambda data, model, context: [context.path, data, model])
    program.transformer("/text")(lambda model, body: f"{model} {bytes(body).decode()}")
    requests = [
        asked(2, "/embed"),
        asked(2, "/invocations"),
        asked(b"x", "/text"),
        asked(4, "/embed"),
    ]
    bodies = [bytes(item.body) for item in answers(program, *requests)]
    assert bodies == [b'["/embed",2,3]', b'{"main":6}', b"3 x", b'["/embed",4,3]']


def test_decoders_and_encoders_are_those_of_all_paths(program):
    program.decoder("text/csv")(lambda body: body.decode().split(","))
    program.encoder("text/csv")("+".join)
    program.predictor(lambda data: data)
    program.predictor("/embed")(lambda data: [*data, "end"])
    request = asked(b"a,b", "/embed", content_type="text/csv")
    assert bytes(answer(program, request).body) == b"a+b+end"


def test_hints_are_those_of_each_path(program):
    def exact(data: dict[str, int]):
        return data

    program.predictor(lambda data: data)
    program.predictor("/embed")(exact)
    assert answer(program, asked({"a": "x"}, "/invocations")).status == 200
    other = Registry()
    other.model_loader(lambda: 3)
    other.predictor("/embed")(exact)
    assert answer(other, asked({"a": "x"}, "/embed")).status == 422


def test_a_program_may_answer_further_paths_alone(program):
    program.predictor("/embed")(lambda data: data)
    handler = loaded(program)
    assert handler.paths == ("/embed",)
    assert bytes(answer(program, asked(1, "/embed")).body) == b"1"
    refused = answer(program, asked(1, "/invocations"))
    assert refused.status == 404
    assert error_of(refused)["message"] == (
        "There is nothing at /invocations: the program has no @predictor without a path"
    )
    assert error_of(answer(program, asked(1, "/other")))["message"] == "There is nothing at /other"


def test_a_script_that_loads_a_model_predicts_beside_further_paths(registry):
    script = ModuleType("inference")
    script.model_fn = lambda model_dir: lambda data: data
    adopt(registry, script)
    registry.predictor("/embed")(lambda data: data)
    assert assemble(registry).paths == ("/invocations", "/embed")


def test_batches_are_those_of_each_path(program):
    sizes = []

    def many(batch):
        sizes.append(len(batch))
        return batch

    program.predictor(max_batch_size=4)(many)
    program.predictor("/embed", max_batch_size=2, max_batch_delay=0.5)(many)
    program.predictor("/one")(lambda data: data)
    handler = loaded(program)
    assert handler.concurrency.max_batch_size == 4
    assert handler.concurrency.max_batch_delay is None
    limits = handler.concurrency.batch_limits
    assert limits == {"/invocations": 4, "/embed": 2, "/one": 1}
    asked_for = ["/embed", "/one", "/invocations", "/embed", "/embed", "/one", "/invocations"]
    assert parts(asked_for, str, limits) == [
        ["/embed", "/embed"],
        ["/one"],
        ["/invocations", "/invocations"],
        ["/embed"],
        ["/one"],
    ]
    answers(program, asked(1, "/embed"), asked(2, "/invocations"), asked(3, "/embed"))
    assert sizes == [2, 1]


def test_the_shortest_delay_counts(program, monkeypatch):
    program.predictor(max_batch_size=4, max_batch_delay=0.25)(lambda batch: batch)
    program.predictor("/embed", max_batch_size=2, max_batch_delay=0)(lambda batch: batch)
    assert assemble(program).concurrency.max_batch_delay == 0
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_SIZE", "8")
    assert assemble(program).concurrency.batch_limits == {"/invocations": 8, "/embed": 8}


def test_sizes_of_batches_are_tried_on_all_paths(program):
    sizes = {"/invocations": [], "/embed": []}

    def main(batch):
        sizes["/invocations"].append(len(batch))
        return batch

    def embed(batch):
        sizes["/embed"].append(len(batch))
        return batch

    program.predictor(batch_sizes=[1, 2])(main)
    program.predictor("/embed", batch_sizes=[1, 4])(embed)
    program.predictor("/one")(lambda data: data)
    handler = loaded(program)
    assert not handler.has_idle_work
    coroutine = handler.answer([asked(1, "/embed"), asked(1, "/invocations")])
    asyncio.run(coroutine)
    while handler.has_idle_work:
        handler.use_idle_time()
    assert sizes == {"/invocations": [1, 2], "/embed": [1, 4]}
    handler.use_idle_time()


def test_retries_are_noticed_on_all_paths(program):
    def fragile(batch):
        if "bad" in batch:
            raise ValueError(batch)
        return batch

    program.predictor("/embed", max_batch_size=2)(fragile)
    handler = loaded(program)
    noticed = []
    handler.watch_retries(noticed.extend)
    requests = [
        Request.from_body(b'"good"', "application/json", id="1", path="/embed"),
        Request.from_body(b'"bad"', "application/json", id="2", path="/embed"),
    ]
    responses = asyncio.run(handler.answer(requests))
    assert [response.status for response in responses] == [200, 500]
    assert noticed == ["1", "2"]


async def wait(data): ...


def plain(data): ...


def many(batch): ...


async def tokens_of_many(batch):
    yield batch


@pytest.mark.parametrize(
    ("one", "other", "problem"),
    [
        ((many, {"max_batch_size": 2}), (wait, {}), r"^many \(.*\) has max_batch_size, and wait"),
        (
            (wait, {}),
            (tokens_of_many, {"max_batch_size": 2}),
            r"^tokens_of_many \(.*\) has max_batch_size, and wait",
        ),
        (
            (wait, {"max_concurrency": 8}),
            (wait, {"max_concurrency": 9}),
            r"^wait \(.*\) has max_concurrency=8, and wait \(.*\) has max_concurrency=9",
        ),
        ((plain, {"threads": 2}), (wait, {}), r"^plain \(.*\) has threads, and wait"),
        (
            (plain, {"threads": 2}),
            (many, {}),
            r"^plain \(.*\) has threads=2, and many \(.*has threads=1",
        ),
        (
            (plain, {"threads": 2}),
            (many, {"threads": 3}),
            r"^many \(.*has threads=3, and plain \(.*threads=2",
        ),
        (
            (plain, {"threads": 2}),
            (many, {"max_batch_size": 2}),
            r"threads=2, and many \(.*has max_batch_size",
        ),
    ],
)
def test_paths_that_need_different_workers_are_refused(program, one, other, problem):
    program.predictor(**one[1])(one[0])
    program.predictor("/embed", **other[1])(other[0])
    with pytest.raises(StartError, match=problem):
        assemble(program)


def test_paths_with_the_same_threads_share_them(program):
    program.predictor(threads=2)(plain)
    program.predictor("/embed", threads=2)(many)
    assert assemble(program).concurrency == Concurrency(threads=2)


def test_async_generators_have_batches_of_each_path(program):
    program.predictor(max_batch_size=4)(tokens_of_many)
    program.predictor("/embed", max_batch_size=2)(tokens_of_many)
    handler = loaded(program)
    assert handler.concurrency.is_async
    assert handler.concurrency.batch_limits == {"/invocations": 4, "/embed": 2}
    requests = [asked(1, path) for path in ("/embed", "/invocations", "/embed")]
    responses = asyncio.run(whole_answers(handler, requests))
    assert [response.body for response in responses] == [b"1\n"] * 3


@pytest.mark.parametrize(
    ("one", "other", "variable", "limit"),
    [
        ({}, {}, "", 32),
        ({"max_concurrency": 8}, {}, "", 8),
        ({}, {"max_concurrency": 8}, "", 8),
        ({"max_concurrency": 8}, {"max_concurrency": 8}, "", 8),
        ({"max_concurrency": 8}, {"max_concurrency": 9}, "64", 64),
    ],
)
def test_requests_to_all_paths_run_in_one_loop(program, monkeypatch, one, other, variable, limit):
    monkeypatch.setenv("SAGEMAKER_MAX_CONCURRENCY", variable)
    program.predictor(**one)(wait)
    program.predictor("/embed", **other)(wait)
    assert assemble(program).concurrency.limit == limit


def test_a_plain_function_beside_an_async_one_is_warned_of(program, caplog):
    program.predictor(plain)
    program.predictor("/embed")(wait)
    with caplog.at_level(logging.WARNING):
        assert assemble(program).concurrency.is_async
    assert "plain (" in caplog.text
    assert "while the first one runs, no other request of its worker goes on" in caplog.text


def test_an_annotation_of_a_further_path_is_checked(program):
    def exact(data: complex): ...

    program.predictor("/embed")(exact)
    with pytest.raises(StartError, match="exact"):
        assemble(program)


# OpenAI's API.


@pytest.mark.parametrize("accept", ["", "application/json", "image/png", "text/event-stream"])
def test_a_stream_that_is_asked_for_is_events_whatever_is_accepted(program, accept):
    program.predictor(CHAT)(tokens)
    response = whole(program, asked({"stream": True}, accept=accept))
    assert (response.status, response.content_type) == (200, "text/event-stream")
    assert response.body == (
        b'data: {"text":"a","path":"/v1/chat/completions"}\n\n'
        b'data: {"text":"b"}\n\n'
        b"data: [DONE]\n\n"
    )


def test_a_transformer_may_stream_events_too(program):
    program.transformer(CHAT)(lambda model, body: (iter([{"a": 1}]), "text/plain"))
    response = whole(program, asked({"stream": True}))
    assert response.content_type == "text/event-stream"
    assert response.body == b'data: {"a":1}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    "body", [{}, {"stream": False}, {"stream": 1}, {"stream": None}, [{"stream": True}], b""]
)
def test_a_stream_that_is_not_asked_for_is_refused(program, body):
    closed = []

    class Items:
        def __iter__(self):
            return self

        def __next__(self):
            return {}

        def close(self):
            closed.append(True)

    program.decoder("application/json")(lambda body: body)
    program.predictor(CHAT)(lambda data: Items())
    response = whole(program, asked(body))
    assert response.status == 400
    assert error_of(response) == {
        "message": "This request is answered by a stream, which its body does not ask for. "
        'Send "stream": true. For other requests, the program returns one document.',
        "type": "invalid_request_error",
        "param": None,
        "code": "bad_request",
    }
    assert closed == [True]


def test_a_body_that_is_not_json_asks_for_no_stream(program):
    program.predictor(CHAT)(lambda data: iter([data]))
    assert whole(program, asked(b"a,b", content_type="text/csv")).status == 400


@pytest.mark.parametrize(("value", "status"), [(b"true", 200), (b"True", 200), (b"false", 400)])
def test_a_form_may_ask_for_a_stream(program, value, status):
    program.predictor("/v1/audio/transcriptions")(lambda data: iter(["a"]))
    fields = [Part("model", "", b"m"), Part("stream", "", value)]
    request = Request("id-1", Headers(), fields=fields, path="/v1/audio/transcriptions")
    assert whole(program, request).status == status


def test_a_document_is_negotiated_as_usual(program):
    program.predictor(CHAT)(lambda data: [[1, 2]])
    assert whole(program, asked({}, accept="text/csv")).body == b"1,2\n"
    refused = whole(program, asked({}, accept="image/png"))
    assert refused.status == 406
    assert error_of(refused)["type"] == "invalid_request_error"


def test_a_program_that_frames_events_may_end_them_itself(program):
    def framed():
        yield b"data: 1\n\n"
        yield b"data: [DONE]\n\n"

    program.predictor(CHAT)(lambda data: framed())
    response = whole(program, asked({"stream": True}))
    assert response.body == b"data: 1\n\ndata: [DONE]\n\n"


def test_an_async_program_may_frame_events_too(program):
    async def framed(data):
        yield b"data: [DONE]\n\n"

    program.predictor(CHAT)(framed)
    assert whole(program, asked({"stream": True})).body == b"data: [DONE]\n\n"


def test_nothing_yielded_is_the_end_alone(program):
    program.predictor(CHAT)(lambda data: iter([]))
    assert whole(program, asked({"stream": True})).body == b"data: [DONE]\n\n"


def test_an_encoder_of_events_writes_them(program):
    program.encoder("text/event-stream")(lambda item: f"data: <{item}>\n\n")
    program.predictor(CHAT)(lambda data: iter([1]))
    response = whole(program, asked({"stream": True}))
    assert response.body == b"data: <1>\n\ndata: [DONE]\n\n"


def test_a_failure_in_the_middle_is_an_event_without_a_name(program):
    program.predictor(CHAT)(tokens)
    handler = loaded(program)
    [response] = asyncio.run(handler.answer([asked({"stream": True, "fails": True})]))
    stream = response.body
    next(stream)
    with pytest.raises(UnprocessableInputError) as caught:
        next(stream)
    status, record = stream.failure(caught.value)
    assert status == 422
    assert record.startswith(b"data: {")
    assert record.endswith(b"}\n\n")
    assert json.loads(record.removeprefix(b"data: ")) == {
        "error": {
            "message": "Too hot.",
            "type": "invalid_request_error",
            "param": None,
            "code": caught.value.code,
        }
    }


def test_other_paths_stream_as_usual(program):
    program.predictor("/generate")(tokens)
    response = whole(program, asked({}, "/generate"))
    assert response.content_type == "application/jsonlines"


class Container:
    """What a framework's container predicts with."""

    def default_model_fn(self, model_dir):
        return 5

    def default_predict_fn(self, data, model):
        return [model]


@pytest.mark.parametrize("kind", ["predictor", "transformer"])
def test_a_container_predicts_beside_further_paths(registry, kind):
    function = (lambda model, body: b"x") if kind == "transformer" else (lambda data: "x")
    getattr(registry, kind)("/embed")(function)
    fallback = registry_of(Container(), object, registry)
    handler = assemble(registry, fallback=fallback)
    assert handler.paths == ("/invocations", "/embed")
    handler.load("")
    [main, embed] = asyncio.run(handler.answer([asked([1], "/invocations"), asked([1], "/embed")]))
    assert (bytes(main.body), embed.status) == (b"[5]", 200)
