"""Predictors that get batches of a few sizes only."""

from __future__ import annotations

import contextvars
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference import Registry, assemble
from sagemaker_inference._aws import script_functions
from sagemaker_inference._inference.batching import Batcher, Failed
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._program import roles
from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._program.signatures import Handler
from sagemaker_inference.errors import PredictionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._http.context import Context

SIZES = (1, 4, 16)


def batcher(predict: Callable[..., Any], **options: Any) -> Batcher:
    handler = Handler.from_function(roles.PREDICTOR, predict)
    return Batcher(handler, Batching(max_batch_size=64, batch_sizes=SIZES, **options))


def predicted(made: Batcher, *arguments: Any) -> Any:
    return run_without_loop(made.predict(*arguments))


def contexts(count: int) -> list[Any]:
    return list(range(count))


@given(st.lists(st.integers(), min_size=1, max_size=64))
def test_a_list_is_padded_and_its_predictions_are_cut(items: list[int]) -> None:
    seen = []

    def predict(data: list[int], model: int, context: list[Context]) -> list[int]:
        assert len(data) == len(context)
        seen.append(len(data))
        return [model * item for item in data]

    results = predicted(batcher(predict), items, 3, contexts(len(items)))
    assert results == [3 * item for item in items]
    assert set(seen) <= set(SIZES)
    assert sum(seen[:-1]) < len(items) <= sum(seen)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_rows_are_padded_and_their_predictions_are_cut(rows: list[int]) -> None:
    seen = []

    def predict(data: np.ndarray) -> np.ndarray:
        seen.append(len(data))
        return data * 2

    inputs = [np.random.default_rng(0).normal(size=(count, 3)) for count in rows]
    results = run_without_loop(
        batcher(predict, collate="concatenate").predict(inputs, None, contexts(len(rows)))
    )
    for data, result in zip(inputs, results, strict=True):
        assert np.array_equal(result, data * 2)
    assert set(seen) <= {*SIZES, *({0} if sum(rows) == 0 else ())}


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"a": range(6), "b": list("uvwxyz")}),
        scipy.sparse.csr_matrix(np.eye(6)),
        scipy.sparse.coo_array(np.eye(6)).tocsr(),
    ],
    ids=["frame", "matrix", "sparse array"],
)
def test_whatever_has_rows_is_padded(data: Any) -> None:
    seen = []

    def predict(rows: Any) -> list[int]:
        assert type(rows) is type(data)
        seen.append(rows.shape[0])
        return list(range(rows.shape[0]))

    [result] = run_without_loop(
        batcher(predict, collate="concatenate").predict([data], None, contexts(1))
    )
    assert (seen, result) == ([16], [0, 1, 2, 3, 4, 5])


def test_pieces_beyond_the_largest_size_are_joined() -> None:
    def predict(data: np.ndarray) -> tuple[int, ...]:
        return tuple(data[:, 0].tolist())

    data = np.arange(40.0).reshape(-1, 1)
    [result] = run_without_loop(
        batcher(predict, collate="concatenate").predict([data], None, contexts(1))
    )
    assert list(result) == data[:, 0].tolist()


@pytest.mark.parametrize("collate", ["list", "concatenate"])
def test_another_number_of_predictions_is_refused(collate: Any) -> None:
    inputs = [np.ones((1, 2)) for _ in range(3)]
    made = batcher(lambda data: data[:3], collate=collate, retry_one_by_one=False)
    results = predicted(made, inputs, None, contexts(3))
    assert all(isinstance(result, Failed) for result in results)
    assert "expected 4" in str(results[0].error)


def test_requests_that_fail_in_a_padded_batch_fail_alone() -> None:
    def predict(data: list[int]) -> list[float]:
        return [1 / item for item in data]

    made = batcher(predict)
    # Whose log lines are whose is set there: an inference handler takes it back.
    context = contextvars.copy_context()
    results = context.run(predicted, made, [1, 0, 2], None, [WithId() for _ in range(3)])
    assert results[0] == 1
    assert isinstance(results[1].error, ZeroDivisionError)
    assert results[2] == 0.5


class WithId:
    request_id = "id"


@pytest.mark.parametrize(
    ("options", "example"),
    [
        ({}, [1.0, 2.0]),
        ({"collate": "concatenate"}, np.ones((2, 2))),
    ],
    ids=["list", "concatenate"],
)
def test_what_a_warmup_returns_is_predicted_in_each_size(
    options: dict[str, Any], example: Any
) -> None:
    registry, seen = Registry(), []

    @registry.model_loader
    def load() -> int:
        return 7

    @registry.predictor(batch_sizes=SIZES, **options)
    def predict(data: Any, model: int, context: Any) -> Any:
        assert model == 7
        assert context[0].request_id == ""
        seen.append(len(data))
        return data

    @registry.warmup
    def warm_up() -> Any:
        return example

    handler = assemble(registry)
    handler.load("/m")
    assert seen == [1, 4, 16]
    assert not handler.has_idle_work
    assert handler.concurrency.max_batch_size == 16


def test_what_a_scripts_warmup_returns_is_ignored() -> None:
    """AWS's toolkit ignores it: it may be a model, or what a prediction has returned."""
    called = []

    def warm_up(model_dir: str, model: Any) -> str:
        called.append((model_dir, model))
        return "warm"

    async def warm_up_async(model_dir: str, model: Any) -> str:
        return warm_up(model_dir, model)

    for function in (warm_up, warm_up_async):
        registry, seen = Registry(), []
        registry.predictor(batch_sizes=SIZES)(seen.append)
        script_functions.adopt(
            registry, SimpleNamespace(model_fn=lambda model_dir: 7, model_warmup_fn=function)
        )
        handler = assemble(registry)
        handler.load("/m")
        assert seen == []
        handler.close()
    assert called == [("/m", 7)] * 2


def test_a_warmup_may_return_anything_where_sizes_do_not_matter() -> None:
    registry, seen = Registry(), []
    registry.model_loader(lambda: None)

    @registry.predictor(max_batch_size=8, collate="concatenate")
    def predict(data: Any) -> Any:
        seen.append(data)

    registry.warmup(lambda: "warm")
    handler = assemble(registry)
    handler.load("/m")
    handler.use_idle_time()
    assert seen == []


def test_a_program_without_batches_has_nothing_to_do_in_idle_time() -> None:
    registry, seen = Registry(), []
    registry.model_loader(lambda: None)
    registry.predictor(seen.append)
    registry.warmup(lambda: 1)
    handler = assemble(registry)
    handler.load("/m")
    assert not handler.has_idle_work
    handler.use_idle_time()
    assert seen == []


def test_a_warmup_without_rows_is_refused() -> None:
    made = batcher(lambda data: data, collate="concatenate")
    with pytest.raises(PredictionError, match="@warmup returned no rows"):
        made.try_all_sizes(np.ones((0, 2)), None, WithId())


@pytest.mark.parametrize("collate", ["list", "concatenate"])
def test_sizes_that_have_not_come_are_tried_when_nobody_waits(collate: Any) -> None:
    seen = []

    def predict(data: Any) -> Any:
        seen.append(len(data))
        return data

    made = batcher(predict, collate=collate)
    assert not made.has_idle_work
    predicted(made, [np.ones((1, 2))] * 3, None, contexts(3))
    while made.has_idle_work:
        made.use_idle_time(None, WithId())
    assert seen == [4, 1, 16]
    predicted(made, [np.ones((1, 2))] * 3, None, contexts(3))
    assert not made.has_idle_work


def test_a_size_that_fails_is_logged_and_ends_the_attempts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def predict(data: Any) -> Any:
        if len(data) > 4:
            raise SystemExit
        return data

    made = batcher(predict)
    predicted(made, [1], None, contexts(1))
    while made.has_idle_work:
        made.use_idle_time(None, WithId())
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == ("the sizes of batches cannot be tried in advance: SystemExit()")


@pytest.mark.parametrize("sizes", [(0, 1), (4, 1), (1, 1), (1.5,), 8, "18", (True, 2)])
def test_sizes_that_are_none_are_refused(sizes: Any) -> None:
    problem = Batching(batch_sizes=sizes).problem()
    assert problem is not None
    assert problem.startswith("batch_sizes must be integers from 1 to ")
    assert problem.endswith(f", in ascending order, got {sizes!r}")
