"""Programs as people write them: command lines, pickles, children, their own logging."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import ECHO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

CHILDREN = """
import argparse, logging, multiprocessing, pickle, select, signal, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--factor", type=float, required=True)
args = parser.parse_args()
del select.epoll  # as gevent and eventlet do

from sagemaker_inference import model_loader, predictor, serve

logging.basicConfig(level=logging.INFO, format="MYAPP|%(message)s")

class Scaler:
    def __call__(self, value):
        return value * args.factor

def scaled(value):
    return pickle.loads(b"c__main__\\nScaler\\n.")()(value)

@model_loader
def load(model_dir):
    with open(f"{model_dir}/model.pkl", "rb") as file:
        return pickle.load(file)()

@predictor
def predict(data, model):
    if data == "terminate":
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        process.start()
        process.terminate()
        process.join()
        return process.exitcode
    if data in ("fork", "spawn"):
        with multiprocessing.get_context(data).Pool(1) as pool:
            return pool.map(scaled, [1, 2])
    if data == "exit":
        sys.exit(2)
    logging.info("predicting")
    return model(data)

if __name__ == "__main__":
    print("the guard's block runs")
serve(__name__)
"""


def test_a_program_runs_in_a_worker_as_under_python(start: Serve, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    # As `python train.py` pickles an object of a class of its own.
    (tmp_path / "model" / "model.pkl").write_bytes(b"c__main__\nScaler\n.")
    server = start(CHILDREN, arguments=("inference.py", "--factor", "3"))
    server.wait_ready()
    assert server.request("2").json == 6.0
    assert server.request('"terminate"').json == -15
    assert server.request('"fork"').json == [3.0, 6.0]
    assert server.request('"spawn"').json == [3.0, 6.0]
    failed = server.request('"exit"')
    assert failed.json["error"]["code"] == "prediction_failed"
    server.wait_for_log("SystemExit: 2", 5)
    assert server.request("2").json == 6.0
    log = server.log
    assert "\nMYAPP|predicting\n" in log
    assert log.count("the guard's block runs") == 1
    assert "died" not in log


def test_lines_of_a_program_are_json_where_asked(serve: Serve) -> None:
    source = ECHO.replace(
        "return data",
        "print('a print'); import logging; logging.warning('a warning'); return data",
    )
    server = serve(source, env={"SAGEMAKER_LOG_FORMAT": "json"})
    identity = server.request("[1]").headers["x-request-id"]
    server.wait_for_log("a warning", 5)
    server.wait_for_log("a print", 5)
    lines = {
        document["message"]: document
        for document in map(json.loads, server.log.splitlines())
        if "message" in document
    }
    for message, logger in (("a print", "stdout"), ("a warning", "root")):
        assert lines[message]["request_id"] == identity
        assert lines[message]["logger"] == logger
