"""Batch transform: as many records out as in, and placeholders for bad ones."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sagemaker_inference import Registry, Request, Response, assemble
from sagemaker_inference._errors import GenericInferenceToolkitError, RegistrationError
from sagemaker_inference.codecs import recordio

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._inference.inference_handler import InferenceHandler

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"


@pytest.fixture(autouse=True)
def in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")


def doubled(data: np.ndarray, model: Any) -> Any:
    """Fails on records that are not two numbers."""
    if data.ndim != 2 or data.shape[1] != 2:
        message = "two numbers are wanted"
        raise ValueError(message)
    return data * 2


def made(predict: Callable[..., Any] = doubled, **options: Any) -> InferenceHandler:
    registry = Registry()
    registry.model_loader(lambda: None)
    options = {"on_bad_record": "placeholder", **options}
    registry.predictor(**options)(predict)
    handler = assemble(registry)
    handler.load("/opt/ml/model")
    return handler


def ask(handler: InferenceHandler, *requests: Request) -> list[Response]:
    return asyncio.run(handler.answer(requests))


def answer(
    handler: InferenceHandler,
    body: bytes,
    content_type: str = CSV,
    accept: str = CSV,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    request = Request.from_body(body, content_type, accept, headers, id="id-1")
    [response] = ask(handler, request)
    return response.status, bytes(response.body)  # type: ignore[arg-type]


def frames(*rows: list[float]) -> bytes:
    return b"".join(recordio.encode(np.array([row])) for row in rows)


ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
BODIES = {
    CSV: [b"1.0,2.0\n", b"3.0,4.0\n", b"5.0,6.0\n"],
    LINES: [b"[1.0, 2.0]\n", b"[3.0, 4.0]\n", b"[5.0, 6.0]\n"],
    RECORDIO: [frames(row) for row in ROWS],
}


@pytest.mark.parametrize("content_type", BODIES)
@pytest.mark.parametrize("on_bad_record", ["fail", "placeholder"])
def test_there_is_a_record_for_each_record(
    content_type: str, on_bad_record: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler = made(on_bad_record=on_bad_record)
    records = BODIES[content_type]
    lines = [b"2.0,4.0\n", b"6.0,8.0\n", b"10.0,12.0\n"]
    # MultiRecord, then SingleRecord, in the same format and in another.
    assert answer(handler, b"".join(records), content_type) == (200, b"".join(lines))
    for record, line in zip(records, lines, strict=True):
        assert answer(handler, record, content_type) == (200, line)
    status, body = answer(handler, b"".join(records), content_type, content_type)
    assert status == 200
    assert body.count(b"\n") == 3 or (recordio.decode(body) == np.array(ROWS) * 2).all()
    # Accept may be missing.
    assert json.loads(answer(handler, b"".join(records), content_type, "")[1]) == [
        [2, 4],
        [6, 8],
        [10, 12],
    ]
    assert not caplog.records


BAD = {
    CSV: b"3.0\n",
    LINES: b"[3.0,\n",
    RECORDIO: BODIES[RECORDIO][1][:8] + b"\xff" * (len(BODIES[RECORDIO][1]) - 8),
}


@pytest.mark.parametrize("content_type", BAD)
@pytest.mark.parametrize("batch", [False, True])
def test_a_bad_record_gets_a_placeholder(content_type: str, *, batch: bool) -> None:
    several = {"max_batch_size": 4, "collate": "concatenate"} if batch else {}
    handler = made(**several)
    first, _, last = BODIES[content_type]
    body = first + BAD[content_type] + last
    assert answer(handler, body, content_type) == (200, b"2.0,4.0\n,\n10.0,12.0\n")
    status, lines = answer(handler, body, content_type, LINES)
    assert status == 200
    one, bad, three = map(json.loads, lines.splitlines())
    assert (one, three) == ([2, 4], [10, 12])
    assert bad["error"].keys() == {"code", "message"}
    assert json.loads(answer(handler, body, content_type, "")[1]) == [one, bad, three]
    # Alone; what a row looks like is known by now.
    assert answer(handler, BAD[content_type], content_type) == (200, b",\n")
    assert json.loads(answer(handler, BAD[content_type], content_type, "")[1])[0].keys() == {
        "error"
    }


def test_other_requests_of_a_batch_get_their_answers() -> None:
    handler = made(max_batch_size=4, collate="concatenate")
    bodies = [b"1,2\n", b"3,4\n5\n", b"6,7\n"]
    requests = [Request.from_body(body, CSV, CSV, id=str(body)) for body in bodies]
    assert [response.body for response in ask(handler, *requests)] == [
        b"2,4\n",
        b"6,8\n,\n",
        b"12,14\n",
    ]


def test_an_async_predictor_is_asked_again_too() -> None:
    async def predict(data: np.ndarray, model: Any) -> Any:
        await asyncio.sleep(0)
        return doubled(data, model)

    assert answer(made(predict), b"1,2\n5\n") == (200, b"2,4\n,\n")


def test_what_cannot_be_encoded_is_a_bad_record() -> None:
    handler = made(lambda data: [object() if row[0] == 3 else list(row) for row in data])
    assert answer(handler, b"1,2\n3,4\n", CSV, LINES)[1].startswith(b'[1,2]\n{"error":')


@pytest.mark.parametrize(
    ("content_type", "body"), [(JSON, b"[1,"), ("image/png", b"x"), ("text/csv;charset=x", b"1")]
)
def test_a_body_of_another_format_is_one_record(content_type: str, body: bytes) -> None:
    handler = made()
    status, document = answer(handler, body, content_type, JSON)
    if content_type.startswith(CSV):
        # Nobody can tell how many there are.
        assert status == 415
    else:
        assert status == 200
        assert json.loads(document).keys() == {"error"}


def test_a_type_that_is_missing_is_guessed() -> None:
    assert answer(made(), b"1,2\n5\n", "") == (200, b"2,4\n,\n")
    assert answer(made(), b"[[1,2],[3]", "", JSON)[1].startswith(b'{"error":')


def test_a_first_row_of_text_is_a_record_unless_the_request_says_otherwise() -> None:
    handler = made()
    body = b"a,b\n1,2\n3,4\n"
    assert answer(handler, body) == (200, b",\n2,4\n6,8\n")
    assert answer(handler, body, f"{CSV}; header=present") == (200, b"2,4\n6,8\n")
    assert answer(handler, body + b"5\n", f"{CSV}; header=present") == (200, b"2,4\n6,8\n,\n")
    # Without placeholders it is as everywhere.
    assert answer(made(on_bad_record="fail"), body) == (200, b"2,4\n6,8\n")


def test_a_decoder_of_the_program_reads_parts_too() -> None:
    seen = []
    registry = Registry()
    registry.model_loader(lambda: None)

    @registry.decoder(CSV)
    def read(body: str, content_type: str) -> Any:
        seen.append((body, content_type))
        return [float(line) for line in body.splitlines()]

    registry.predictor(on_bad_record="placeholder")(lambda data: data)
    handler = assemble(registry)
    handler.load("/opt/ml/model")
    assert answer(handler, b"1\nx\n3\n", CSV, CSV) == (200, b'1.0\n""\n3.0\n')
    assert answer(handler, b"1\nx\n", "", CSV) == (200, b'1.0\n""\n')
    assert seen[:2] == [("1\nx\n3\n", CSV), ("1", CSV)]


def test_packed_bodies_are_divided_and_answers_are_not_packed() -> None:
    handler = made()
    body = gzip.compress(b"1,2\n5\n" + b"3,4\n" * 5000)
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    request = Request.from_body(body, CSV, CSV, headers)
    [response] = ask(handler, request)
    assert (response.status, response.body) == (200, b"2,4\n,\n" + b"6,8\n" * 5000)
    assert "Content-Encoding" not in response.headers
    assert answer(handler, b"no gzip", headers={"Content-Encoding": "gzip"})[0] == 400


def raising(error: BaseException) -> Callable[..., Any]:
    def predict(data: Any) -> Any:
        if len(data) < 2 or data[1][0] == 3:
            raise error
        return data

    return predict


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), 507),
        (GenericInferenceToolkitError(429, "Later"), 429),
        (GenericInferenceToolkitError(503, "Later"), 503),
        (GenericInferenceToolkitError(204, ""), 204),
    ],
)
def test_what_is_not_about_a_record_fails_the_request(error: BaseException, status: int) -> None:
    handler = made(raising(error))
    assert answer(handler, b"1,2\n3,4\n")[0] == status


def test_a_part_that_fails_for_something_else_fails_the_request() -> None:
    def predict(data: Any) -> Any:
        raise ValueError if len(data) > 1 else MemoryError

    assert answer(made(predict), b"1,2\n3,4\n")[0] == 507


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "status"),
    [
        (b"", CSV, CSV, 400),
        (b"1,2\n5\n", CSV, "application/x-npy", 400),
        (b"1,2\n5\n", CSV, "image/png", 406),
        (b"1,2\n", "application/x-no-such", CSV, 415),
        (BODIES[RECORDIO][0][:-1], RECORDIO, CSV, 400),
        (b"a=1&b", "application/x-www-form-urlencoded", CSV, 500),
    ],
)
def test_where_no_placeholder_can_stand_the_request_fails(
    body: bytes, content_type: str, accept: str, status: int
) -> None:
    def predict(data: Any, model: Any) -> Any:
        return doubled(data, model)

    assert answer(made(predict), body, content_type, accept)[0] == status


def test_the_log_names_the_first_bad_records_and_counts_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert answer(made(), b"1,2\n5\n" * 7)[0] == 200
    text = caplog.text
    for number in (2, 4, 6, 8, 10):
        assert f"request id-1: record {number} of 14 is a placeholder: prediction_failed" in text
    assert "record 12 of 14" not in text
    assert "request id-1: placeholders for 7 of 14 records" in text
    assert text.count("ValueError: two numbers are wanted") == 5


def test_a_program_that_returns_another_number_of_records_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler = made(lambda data: data[:1], on_bad_record="fail")
    for _ in range(2):
        assert answer(handler, b"1,2\n3,4\n") == (200, b"1,2\n")
    message = (
        "request id-1: 2 records sent, 1 in the answer (text/csv). A batch transform "
        "job joins them one by one: return a prediction for each record, and send no header row, "
        "or Content-Type: text/csv; header=present"
    )
    assert [record.message for record in caplog.records] == [message]


def test_where_nobody_can_count_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    handler = made(lambda data: data[:1])
    assert answer(handler, b"[[1,2],[3,4]]", JSON) == (200, b"1,2\n")
    assert answer(handler, b"1,2\n3,4\n", CSV, JSON) == (200, b"[[1,2]]")
    assert not caplog.records


def test_an_answer_that_is_packed_by_the_program_or_comes_in_pieces_is_not_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = Registry()
    registry.model_loader(lambda: None)

    @registry.transformer
    def transform(model: Any, body: bytes, content_type: str, accept: str, context: Any) -> Any:
        if body == b"1\n2\n":
            context.response_headers["Content-Encoding"] = "gzip"
            return gzip.compress(b"1\n"), CSV
        return iter([b"1\n"]), CSV

    handler = assemble(registry)
    handler.load("/opt/ml/model")
    assert answer(handler, b"1\n2\n")[0] == 200
    [response] = ask(handler, Request.from_body(b"1\n2\n3\n", CSV))
    assert list(response.body) == [b"1\n"]  # type: ignore[arg-type]
    assert not caplog.records


def test_a_variable_overrides_the_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"1,2\n5\n"
    monkeypatch.setenv("SAGEMAKER_ON_BAD_RECORD", "Fail")
    assert answer(made(), body)[0] == 400
    monkeypatch.setenv("SAGEMAKER_ON_BAD_RECORD", "placeholder")
    assert answer(made(on_bad_record="fail"), body) == (200, b"2,4\n,\n")
    # An endpoint answers as ever.
    monkeypatch.delenv("SAGEMAKER_BATCH")
    assert answer(made(), body)[0] == 400


def test_a_transformer_has_placeholders_of_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SAGEMAKER_ON_BAD_RECORD", "placeholder")
    registry = Registry()
    registry.model_loader(lambda: None)

    @registry.transformer
    def transform(model: Any, body: str) -> Any:
        raise ValueError

    handler = assemble(registry)
    handler.load("/opt/ml/model")
    assert answer(handler, b"1\n")[0] == 500
    assert "SAGEMAKER_ON_BAD_RECORD=placeholder has no effect: a transformer" in caplog.text


def test_an_option_that_is_neither_is_refused() -> None:
    with pytest.raises(
        RegistrationError, match="on_bad_record must be 'fail' or 'placeholder', got 'skip'"
    ):
        made(on_bad_record="skip")
