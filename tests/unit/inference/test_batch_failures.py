"""Batches of an inference handler, and the failures of single requests of them."""

from support.builders import answers, request

from sagemaker_inference._http.messages import Request
from sagemaker_inference._log import current_request


def test_a_batch_of_requests_fails_one_by_one(doubling):
    good, bad, other = answers(doubling, request(), request(b"["), request(b"[3]"))
    assert [response.status for response in (good, bad, other)] == [200, 400, 200]
    assert other.body == b"[6]"


def batched(registry, predict, **options):
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=4, **options)(predict)
    return registry


def test_a_batch_predictor_gets_lists(registry):
    seen = []

    def predict(inputs, model, contexts):
        seen.append(len(inputs))
        return [(len(inputs), context.request_id) for context in contexts]

    responses = answers(batched(registry, predict), request(), request())
    assert seen == [2]
    assert [response.body for response in responses] == [b'[2,"id-1"]'] * 2


def test_only_the_guilty_request_of_a_batch_fails(registry, caplog):
    def predict(inputs):
        if any(item == [0] for item in inputs):
            raise ValueError
        return inputs

    responses = answers(batched(registry, predict), request(b"[1]"), request(b"[0]"))
    assert [response.status for response in responses] == [200, 500]
    assert "a batch of 2 failed; retrying in halves" in caplog.text


def test_each_retry_names_its_cause_and_its_requests(registry, caplog):
    seen = []

    def predict(inputs):
        seen.append(current_request.get())
        return inputs[:1]

    requests = [Request.from_body(b"[1]", "application/json", id=name) for name in "abcd"]
    responses = answers(batched(registry, predict), *requests)
    assert [response.status for response in responses] == [200] * 4
    assert seen == ["a,b,c,d", "a,b", "a", "b", "c,d", "c", "d"]
    assert "halves: 'The predictor returned 1 predictions" in caplog.text


def test_without_a_retry_the_whole_batch_fails(registry):
    calls = []
    program = batched(registry, lambda inputs: calls.append(1) or 1 / 0, retry_one_by_one=False)
    responses = answers(program, request(), request())
    assert [response.status for response in responses] == [500, 500]
    assert len(calls) == 1


def test_a_batch_of_undecodable_requests_reaches_no_predictor(registry):
    calls = []
    responses = answers(batched(registry, lambda inputs: calls.append(1)), request(b"["))
    assert responses[0].status == 400
    assert calls == []
