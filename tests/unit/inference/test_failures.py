"""Whatever a handler raises is its request's failure, and its lines in the log have the id."""

import asyncio
import logging
import sys

import pytest
from support.builders import loaded, request

from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._log import RequestIdFilter, current_request


class Interrupt(BaseException):
    """As the time-outs of gevent and func_timeout."""


def leave():
    sys.exit(2)


def interrupt():
    raise Interrupt


def press_ctrl_c():
    raise KeyboardInterrupt


def end_a_generator():
    raise GeneratorExit


EXITS = [leave, interrupt, press_ctrl_c]
# In a coroutine, the last of these is how Python closes it.
PLAIN_EXITS = [*EXITS, end_a_generator]


def answered(handler, *bodies):
    requests = [request(body) for body in bodies]
    responses = run_without_loop(handler.answer(requests))
    return [int(response.status) for response in responses]


@pytest.mark.parametrize("leave_by", PLAIN_EXITS)
@pytest.mark.parametrize("role", ["decoder", "predictor", "encoder", "transformer"])
def test_an_exit_in_a_handler_fails_its_request(registry, caplog, role, leave_by):
    registry.model_loader(lambda: None)
    if role == "transformer":
        registry.transformer(lambda model, body: leave_by())
    else:
        registry.predictor(lambda data: leave_by() if role == "predictor" else data)
        if role == "decoder":
            registry.decoder("application/json")(lambda body: leave_by())
        if role == "encoder":
            registry.encoder("application/json")(lambda prediction: leave_by())
    assert answered(loaded(registry), b"1") == [500]
    assert f"request id-1: the {role} failed" in caplog.text
    assert leave_by.__name__ in caplog.text  # the traceback


@pytest.mark.parametrize("leave_by", PLAIN_EXITS)
def test_an_exit_in_a_batch_fails_only_its_request(registry, leave_by):
    registry.model_loader(lambda: None)

    @registry.predictor(max_batch_size=4)
    def predict(data):
        return [leave_by() if value == 0 else value for value in data]

    assert answered(loaded(registry), b"1", b"0", b"2") == [200, 500, 200]


@pytest.mark.parametrize("leave_by", EXITS)
def test_an_exit_in_a_coroutine_fails_its_request(registry, leave_by):
    registry.model_loader(lambda: None)

    @registry.predictor
    async def predict(data):
        await asyncio.sleep(0)
        return leave_by() if data == 0 else data

    handler = loaded(registry)

    async def serve():
        return await asyncio.gather(*(handler.answer([request(body)]) for body in (b"0", b"1")))

    failed, fine = asyncio.run(serve())
    assert (int(failed[0].status), int(fine[0].status)) == (500, 200)


def test_a_cancelled_coroutine_is_cancelled(registry):
    registry.model_loader(lambda: None)

    @registry.predictor
    async def predict(data):
        await asyncio.Event().wait()

    handler = loaded(registry)

    async def serve():
        await asyncio.wait_for(handler.answer([request(b"0")]), 0.01)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(serve())


def test_a_cancellation_that_a_plain_handler_raises_is_its_failure(registry):
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data):
        raise asyncio.CancelledError

    assert answered(loaded(registry), b"0") == [500]


def test_a_coroutine_can_be_closed(registry):
    registry.model_loader(lambda: None)

    @registry.predictor
    async def predict(data):
        await asyncio.sleep(0)

    coroutine = loaded(registry).answer([request(b"0")])
    coroutine.send(None)
    coroutine.close()


def test_an_exit_in_on_shutdown_is_logged(registry, caplog):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    registry.on_shutdown(leave)
    loaded(registry).close()
    assert "on_shutdown failed" in caplog.text


@pytest.fixture
def logged(caplog):
    """Messages of the logger "mine" with the ids that a filter gives them."""
    caplog.handler.addFilter(RequestIdFilter())
    yield lambda: [(r.getMessage(), r.request_id) for r in caplog.records if r.name == "mine"]
    caplog.handler.filters.clear()


def test_log_lines_have_the_id_of_their_request(registry, logged):
    mine = logging.getLogger("mine")
    registry.model_loader(lambda: mine.warning("load"))
    registry.decoder("application/json")(lambda body: mine.warning("decode"))
    registry.predictor(lambda data: mine.warning("predict"))
    registry.encoder("application/json")(lambda prediction: mine.warning("encode") or b"")
    assert answered(loaded(registry), b"1") == [200]
    assert logged() == [("load", "")] + [(step, "id-1") for step in ("decode", "predict", "encode")]
    assert current_request.get() == ""


def test_log_lines_of_a_batch_have_all_ids_and_those_of_a_retry_one(registry, logged):
    registry.model_loader(lambda: None)

    @registry.predictor(max_batch_size=2)
    def predict(data, model, contexts):
        logging.getLogger("mine").warning("%d", len(data))
        if len(data) == 2:
            raise ValueError
        return data

    first, second = request(b"1"), request(b"2")
    second.id = "id-2"
    run_without_loop(loaded(registry).answer([first, second]))
    assert logged() == [("2", "id-1,id-2"), ("1", "id-1"), ("1", "id-2")]


def test_the_traceback_of_one_of_a_batch_has_its_id(registry, caplog):
    caplog.handler.addFilter(RequestIdFilter())
    registry.model_loader(lambda: None)

    @registry.predictor(max_batch_size=2)
    def predict(data):
        return [1 / number for number in data]

    first, second = request(b"0"), request(b"2")
    second.id = "id-2"
    run_without_loop(loaded(registry).answer([first, second]))
    [line] = [record for record in caplog.records if "the predictor failed" in record.message]
    assert line.request_id == "id-1"
    caplog.handler.filters.clear()


def test_log_lines_of_requests_at_the_same_time_have_their_own_ids(registry, logged):
    registry.model_loader(lambda: None)

    @registry.predictor
    async def predict(data):
        await asyncio.sleep(0)
        logging.getLogger("mine").warning("%d", data)
        return data

    handler = loaded(registry)

    async def serve():
        requests = [request(str(number).encode()) for number in range(3)]
        for number, item in enumerate(requests):
            item.id = f"id-{number}"
        await asyncio.gather(*(handler.answer([item]) for item in requests))

    asyncio.run(serve())
    assert sorted(logged()) == [(str(number), f"id-{number}") for number in range(3)]
