"""Predictors and transformers that yield: what a response is made of, and how it fails."""

import asyncio
import logging

import pytest
from support.builders import answer, answers, error_of, loaded, request

from sagemaker_inference import errors
from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._http.messages import whole_body
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.streams import Stream, is_iterator, whole_answers


async def ticks(count=3):
    for index in range(count):
        await asyncio.sleep(0)
        yield index


class Countdown:
    """An iterator without anything else."""

    def __init__(self, start):
        self.left = start

    def __next__(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left


def test_iterators_are_no_containers():
    assert all(map(is_iterator, [iter([]), (x for x in ()), map(str, []), Countdown(1), ticks()]))
    assert not any(map(is_iterator, [[], (), {}, "", b"", range(3), 1, None, Countdown]))


def predicting(registry, function):
    registry.model_loader(lambda: "model")
    registry.predictor(function)
    return registry


def streamed(registry, accept=""):
    """What a program answers: its chunks, whether they are awaited or not."""

    async def gather():
        response = (await handler.answer([request(accept=accept)]))[0]
        return response, [chunk async for chunk in response.body]

    handler = loaded(registry)
    if handler.concurrency.is_async:
        return asyncio.run(gather())
    response = run_without_loop(handler.answer([request(accept=accept)]))[0]
    return response, list(response.body)


def plain_generator(data, model):
    yield from range(3)


def returns_iterator(data, model):
    return iter(range(3))


async def async_generator(data, model):
    async for index in ticks():
        yield index


async def returns_async_iterator(data, model):
    await asyncio.sleep(0)
    return ticks()


async def returns_plain_iterator(data, model):
    await asyncio.sleep(0)
    return iter(range(3))


PREDICTORS = [
    plain_generator,
    returns_iterator,
    lambda data, model: Countdown(3),
    async_generator,
    returns_async_iterator,
    returns_plain_iterator,
]


@pytest.mark.parametrize("predict", PREDICTORS)
def test_what_a_predictor_yields_is_a_stream(registry, predict):
    response, chunks = streamed(predicting(registry, predict))
    assert isinstance(response.body, Stream)
    assert (response.status, response.phrase) == (200, "OK")
    assert response.content_type == "application/jsonlines"
    assert sorted(chunks) == [b"0\n", b"1\n", b"2\n"]
    assert response.body.items == 3


@pytest.mark.parametrize("predict", PREDICTORS)
def test_a_json_array_ends(registry, predict):
    _, chunks = streamed(predicting(registry, predict), "application/json")
    assert len(chunks) == 4
    assert chunks[-1] == b"]"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_transformer_may_yield(registry, is_async):
    registry.model_loader(lambda: "model")
    if is_async:

        @registry.transformer
        async def transform(model, body, content_type, accept):
            yield f"{accept} {body.decode()}"
            yield {"a": 1}
    else:

        @registry.transformer
        def transform(model, body, content_type, accept):
            yield f"{accept} {body.decode()}"
            yield {"a": 1}

    response, chunks = streamed(registry)
    assert response.content_type == "text/plain; charset=utf-8"
    assert chunks == [b"application/json [1, 2]", b'{"a":1}\n']
    response, chunks = streamed(registry, "text/event-stream")
    assert response.content_type == "text/event-stream"
    assert chunks == [b"data: text/event-stream [1, 2]\n\n", b'data: {"a":1}\n\n']
    assert answer(registry, request(accept="image/gif")).content_type == "image/gif"


def test_a_transformer_may_name_the_type_of_what_it_yields(registry):
    registry.model_loader(lambda: "model")
    registry.transformer(lambda model, body: (iter([1, 2]), "application/x-ndjson"))
    response, chunks = streamed(registry, "text/csv")
    assert (response.content_type, chunks) == ("application/x-ndjson", [b"1\n", b"2\n"])


def test_what_a_program_sets_before_its_first_item_counts(registry):
    @registry.predictor
    def predict(data, model, context):
        context.status = 201
        context.response_headers["X-A"] = "b"
        context.response_content_type = "text/own"
        yield 1
        context.status = 500

    registry.model_loader(lambda: None)
    response, _ = streamed(registry)
    assert (response.status, response.content_type) == (201, "text/own")
    assert response.headers == {"X-A": "b"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValueError("secret"), 500, "prediction_failed"),
        (errors.UnprocessableInputError("too long"), 422, "unprocessable_input"),
        (MemoryError(), 507, "out_of_memory"),
        (SystemExit(3), 500, "prediction_failed"),
    ],
)
def test_a_failure_before_the_first_item_keeps_its_status(registry, error, status, code):
    def predict(data):
        if data is not None:
            raise error
        yield 1

    response = answer(predicting(registry, predict), request())
    assert (response.status, error_of(response)["code"]) == (status, code)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_first_item_that_cannot_be_written_fails_and_closes(registry, is_async):
    closed = []

    def items(data):
        try:
            yield object()
        finally:
            closed.append(True)

    async def async_items(data):
        try:
            yield object()
        finally:
            closed.append(True)

    predicting(registry, async_items if is_async else items)
    response = answer(registry, request())
    assert (response.status, error_of(response)["code"]) == (500, "unencodable_prediction")
    assert closed == [True]


def test_a_status_without_content_closes_the_stream(registry):
    closed = []

    @registry.predictor
    def predict(data, model, context):
        context.status = 204
        try:
            yield 1
        finally:
            closed.append(True)

    registry.model_loader(lambda: None)
    response = answer(registry, request())
    assert (response.status, response.body, closed) == (204, b"", [True])
    registry.reset()

    def countdown(data, model, context):
        context.status = 204
        return Countdown(1)

    assert answer(predicting(registry, countdown), request()).body == b""


def test_an_async_iterator_needs_an_async_program(registry):
    response = answer(predicting(registry, lambda data: ticks()), request())
    assert response.status == 500
    assert "write async def" in error_of(response)["message"]


def test_a_batch_has_no_streams(registry):
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=2)(lambda batch: [iter([1]) for _ in batch])
    for response in answers(registry, request(), request()):
        assert response.status == 500
        assert "remove max_batch_size" in error_of(response)["message"]


def test_async_generators_and_threads_are_refused_together(registry):
    with pytest.raises(RegistrationError, match="async and runs concurrently"):
        registry.predictor(threads=2)(async_generator)
    registry.predictor(threads=2)(plain_generator)


def test_a_cancelled_async_stream_is_no_failure(registry):
    async def predict(data):
        await asyncio.sleep(10)
        yield 1

    handler = loaded(predicting(registry, predict))

    async def cancel():
        task = asyncio.ensure_future(handler.answer([request()]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_items_in_an_event_loop_let_others_run(registry):
    handler = loaded(predicting(registry, returns_plain_iterator))
    turns = []

    async def count():
        while len(turns) < 100:
            turns.append(1)
            await asyncio.sleep(0)

    async def gather():
        counter = asyncio.ensure_future(count())
        response = (await handler.answer([request()]))[0]
        before = len(turns)
        async for _ in response.body:
            pass
        after = len(turns)
        counter.cancel()
        return after - before

    assert asyncio.run(gather()) >= 3


# What whoever sends it needs.


@pytest.mark.parametrize(
    ("accept", "record"),
    [
        ("application/jsonlines", b"%b\n"),
        ("text/event-stream", b"event: error\ndata: %b\n\n"),
        ("application/json", b""),
        ("text/plain", b""),
    ],
)
def test_formats_with_records_end_with_the_error(registry, caplog, accept, record):
    caplog.set_level(logging.ERROR, "sagemaker-inference")
    handler = loaded(predicting(registry, plain_generator))
    stream = run_without_loop(handler.answer([request(accept=accept)]))[0].body
    next(stream)
    status, last = stream.failure(ValueError("secret"))
    assert status == 500
    assert "request id-1: the predictor failed" in caplog.text
    document = (
        b'{"error": {"code": "prediction_failed", "message": "The predictor failed on this '
        b"request. Search the endpoint's log for the request id to find the cause.\", "
        b'"request_id": "id-1"}}'
    )
    assert last == (record % document if record else b"")


@pytest.mark.parametrize(
    ("accept", "item", "start"),
    [
        ("application/jsonlines", b'{"a": ', b'\n{"error"'),
        ("application/jsonlines", b'{"a": 1}\n', b'{"error"'),
        ("text/event-stream", b"data: a\n", b"\n\nevent: error"),
        ("text/event-stream", b"data: a\r\n\r\n", b"event: error"),
    ],
)
def test_the_error_begins_a_record_of_its_own(registry, accept, item, start):
    handler = loaded(predicting(registry, lambda data: iter([item])))
    stream = run_without_loop(handler.answer([request(accept=accept)]))[0].body
    assert stream.failure(errors.BadRequestError("no"))[1].startswith(start)


def test_an_item_that_cannot_be_written_is_the_encoders_failure(registry, caplog):
    caplog.set_level(logging.ERROR, "sagemaker-inference")

    def write(item):
        if item:
            raise ValueError("secret")
        return b"0"

    registry.encoder("application/x-own")(write)
    handler = loaded(predicting(registry, lambda data: iter([0, 1])))
    stream = run_without_loop(handler.answer([request()]))[0].body
    assert next(stream) == b"0"
    with pytest.raises(ValueError, match="secret") as raised:
        next(stream)
    stream.failure(raised.value)
    assert "the encoder failed" in caplog.text


def test_an_async_encoder_writes_items(registry):
    @registry.encoder("application/x-own")
    async def write(item):
        await asyncio.sleep(0)
        return f"<{item}>"

    response, chunks = streamed(predicting(registry, returns_iterator))
    assert (response.content_type, chunks) == ("application/x-own", [b"<0>", b"<1>", b"<2>"])


def test_a_stream_is_closed_by_whoever_sends_it(registry):
    closed = []

    def predict(data):
        try:
            yield from range(3)
        finally:
            closed.append(True)

    stream = answer(predicting(registry, predict), request()).body
    next(stream)
    stream.close()
    assert closed == [True]
    registry.reset()
    stream = answer(predicting(registry, lambda data: Countdown(2)), request()).body
    stream.close()  # which it has no means for
    assert list(stream) == [b"1\n", b"0\n"]


def test_an_async_stream_is_closed_by_whoever_sends_it(registry):
    closed = []

    async def predict(data):
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    handler = loaded(predicting(registry, predict))

    async def close():
        response = (await handler.answer([request()]))[0]
        await response.body.aclose()

    asyncio.run(close())
    assert closed == [True]


# For who cannot send a stream.


def test_a_stream_can_be_had_as_a_whole(registry):
    assert whole_body(answer(predicting(registry, plain_generator), request())) == b"0\n1\n2\n"


@pytest.mark.parametrize("predict", [plain_generator, async_generator, lambda data, model: 3])
def test_answers_can_be_had_as_a_whole(registry, predict):
    handler = loaded(predicting(registry, predict))
    [response] = asyncio.run(whole_answers(handler, [request(accept="application/json")]))
    assert (response.status, response.body) in [(200, b"[0,1,2]"), (200, b"3")]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_whole_answer_fails_as_a_whole(registry, is_async):
    def predict(data):
        yield 1
        raise errors.UnprocessableInputError("too long")

    async def predict_async(data):
        yield 1
        raise errors.UnprocessableInputError("too long")

    handler = loaded(predicting(registry, predict_async if is_async else predict))
    [response] = asyncio.run(whole_answers(handler, [request()]))
    assert (response.status, error_of(response)["message"]) == (422, "too long")


def test_a_whole_answer_can_be_cancelled(registry):
    async def predict(data):
        yield 1
        raise asyncio.CancelledError

    handler = loaded(predicting(registry, predict))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(whole_answers(handler, [request()]))


@pytest.mark.parametrize(
    ("api", "streaming"),
    [
        ("InvokeEndpointWithResponseStream", True),
        ("InvokeEndpoint", False),
        ("InvokeEndpointAsync", None),
        (None, None),
    ],
)
def test_a_program_knows_whether_its_caller_streams(registry, api, streaming):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data, model, context: [context.streaming])
    headers = {"x-amzn-sagemaker-forwarded-api": api} if api else {}
    response = answer(registry, request(headers=headers))
    assert response.body == {True: b"[true]", False: b"[false]", None: b"[null]"}[streaming]
