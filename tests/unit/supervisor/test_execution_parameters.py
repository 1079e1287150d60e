"""What a batch transform job is told to send."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from support.builders import config

from sagemaker_inference import Registry, assemble
from sagemaker_inference._http.execution_parameters import parameters
from sagemaker_inference._supervisor.execution_parameters import ExecutionParameters
from sagemaker_inference._supervisor.front_end import FrontEndProcess

MB = 1 << 20


@pytest.mark.parametrize(
    ("settings", "workers", "limit", "expected"),
    [
        ({}, 1, 1, (1, 6)),
        ({}, 4, 1, (4, 6)),
        # As SageMaker has it, the product of both is at most 100.
        ({}, 4, 32, (16, 6)),
        ({"payload_limit": 2 * MB, "max_payload_in_mb": 2}, 4, 32, (50, 2)),
        ({"payload_limit": MB, "max_payload_in_mb": 1}, 9, 32, (100, 1)),
        ({"payload_limit": 100 * MB, "max_payload_in_mb": 100}, 4, 1, (1, 100)),
        ({"payload_limit": 500 * MB, "max_payload_in_mb": 500}, 4, 1, (1, 100)),
        ({"max_concurrent_transforms": 3}, 8, 8, (3, 6)),
        ({"max_concurrent_transforms": 99}, 8, 8, (16, 6)),
    ],
)
def test_a_job_sends_what_the_workers_can_handle(
    settings: dict[str, Any], workers: int, limit: int, expected: tuple[int, int]
) -> None:
    made = parameters(
        config(**{"payload_limit": 25 * MB, **settings}), workers, limit, reads_rows=True
    )
    assert (made["MaxConcurrentTransforms"], made["MaxPayloadInMB"]) == expected
    assert "BatchStrategy" not in made


def test_the_strategy_can_be_set() -> None:
    told = config(payload_limit=25 * MB, batch_strategy="MULTI_RECORD")
    assert parameters(told, 1, 1, reads_rows=False)["BatchStrategy"] == "MULTI_RECORD"
    told = config(payload_limit=25 * MB)
    assert parameters(told, 1, 1, reads_rows=False)["BatchStrategy"] == "SINGLE_RECORD"


def predict(data: Any, model: Any) -> Any:
    return data


def predict_bytes(data: bytes, model: Any) -> Any:
    return data


@pytest.mark.parametrize(
    ("decoder", "predictor", "reads_rows"),
    [
        (None, predict, True),
        ("image/*", predict, True),
        ("application/json", predict, True),
        ("text/csv", predict, False),
        ("*/*", predict, False),
        (None, predict_bytes, False),
    ],
)
def test_whether_a_body_may_hold_several_records(
    registry: Registry, decoder: str | None, predictor: Any, *, reads_rows: bool
) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(predictor)
    if decoder:
        registry.decoder(decoder)(lambda body: body)
    assert assemble(registry).reads_rows == reads_rows


def test_a_transformer_may_read_one_record(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.transformer(lambda model, body: body)
    assert not assemble(registry).reads_rows


def test_only_when_the_model_is_loaded_and_only_to_get() -> None:
    replies: list[tuple[Any, ...]] = []
    front_end: Any = SimpleNamespace(
        reply=lambda *reply: replies.append(reply),
        refuse=lambda _request, code, message, headers: replies.append(
            (1, int(code.status), message, headers)
        ),
    )
    front_end.takes_read = partial(FrontEndProcess.takes_read, front_end)
    known: list[dict[str, Any] | None] = [None]
    route = ExecutionParameters(front_end, lambda: known[0])

    def ask(method: str) -> tuple[int, dict[str, str]]:
        route.handle(SimpleNamespace(id=1, method=method))  # type: ignore[arg-type]
        return replies[-1][1], dict(replies[-1][3])

    assert ask("GET") == (503, {"retry-after": "5"})
    assert ask("POST") == (405, {"allow": "GET, HEAD"})
    assert replies[-1][2] == "The method is POST; /execution-parameters takes GET and HEAD"
    known[0] = {"BatchStrategy": "MULTI_RECORD"}
    assert ask("GET")[0] == 200
    assert replies[-1][2] == b'{"BatchStrategy": "MULTI_RECORD"}'
