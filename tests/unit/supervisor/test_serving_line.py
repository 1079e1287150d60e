"""The line that says what is served."""

import pytest
from support.builders import settings

from sagemaker_inference._ipc.messages import Report
from sagemaker_inference._os import resources
from sagemaker_inference._supervisor import serving_line


def test_a_default_predictor_is_named_in_the_line():
    served = settings(handler_service="service", model_dir="/m", port=8080, workers=2)
    line = serving_line.of_one(served, Report("loaded", predictor="predict of the model (Model)"))
    assert "; requests go to predict of the model (Model); reads " in line
    assert "requests go to" not in serving_line.of_one(served, Report("loaded"))


def test_further_paths_are_named_in_the_line():
    served = settings(handler_service="service", model_dir="/m", port=8080, workers=2)
    line = serving_line.of_one(served, Report("loaded", paths=("/invocations", "/embed")))
    assert "writes; paths: /invocations, /embed. Try: curl" in line
    assert line.endswith("/invocations")
    alone = serving_line.of_one(served, Report("loaded", paths=("/embed",)))
    assert "; paths: /embed. Try: curl" in alone
    assert alone.endswith(":8080/embed")
    assert "paths:" not in serving_line.of_one(served, Report("loaded"))


@pytest.mark.parametrize(
    ("gpus", "cpus", "words"),
    [
        ([], 1, "usable: 1 processor, 512 MB of memory, no GPU)"),
        (["0", "MIG-1"], 2, "usable: 2 processors, 512 MB of memory, GPU 0, MIG-1)"),
    ],
)
def test_it_says_what_was_seen_and_chosen(monkeypatch, gpus, cpus, words):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(resources, "usable_cpus", lambda: cpus)
    monkeypatch.setattr(resources, "memory", lambda: 512 << 20)
    served = settings(handler_service="service", gpus=gpus, workers=2)
    line = serving_line.of_one(served, Report("loaded"))
    assert f"(2 workers, OMP_NUM_THREADS=1; {words}; reads" in line
    assert f"as they are loaded (workers of each: 2; {words}. Try:" in serving_line.of_many(served)
