"""Requests about models that are meant to harm, or cannot be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from support.model_bench import ModelBench


def test_more_workers_than_there_are_connections_for_are_refused(models: ModelBench) -> None:
    models.load()
    answer = models.answer("PUT", "/models/m?min_worker=50")
    message = (
        "min_worker is 50, and the model has connections for 4. Unload it, and load it with "
        "initial_workers=50."
    )
    assert answer == (400, {"code": 400, "type": "BadRequestException", "message": message})
    assert models.answer("GET", "/models/m")[1]["minWorkers"] == 1
    models.unload()


def test_a_name_with_control_characters_stays_in_its_line(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    models.load("a\nINFO b\x1b[31m\u2028c")
    models.ask("DELETE", "/models/a%0AINFO%20b%1B%5B31m%E2%80%A8c")
    assert models.reply()[1] == 200
    said = [record.getMessage() for record in caplog.records if record.name.startswith("sage")]
    assert said == [
        "model a\\nINFO b\\x1b[31m\\u2028c is loaded",
        "model a\\nINFO b\\x1b[31m\\u2028c is unloaded",
    ]


def test_a_default_predictor_is_named_with_its_model(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    source = "def model_fn(model_dir):\n    return len\n"
    models.load("m", url=models.model(source))
    models.unload()
    expected = "model m is loaded; requests go to the model (builtin_function_or_method)"
    assert expected in [record.getMessage() for record in caplog.records]
