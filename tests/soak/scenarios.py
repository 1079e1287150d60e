"""What is served: programs, how they take requests, and what becomes of the log's reader."""

from __future__ import annotations

from typing import Literal, NamedTuple

# Limits that are exceeded on purpose.
PREDICTION_SECONDS = 3
WRITE_SECONDS = 2
# Once this file is there, loads fail by chance. The first one of a server must not: that would end
# the server.
LOADS_FAIL = "loads-fail"
FAILED_LOAD = "this load fails by chance"

_HEAD = f"""
import asyncio, os, random, signal, time
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    if os.path.exists("{LOADS_FAIL}") and random.random() < float(os.environ["FAILING_LOADS"]):
        raise RuntimeError("{FAILED_LOAD}")
    return None

def answer(data):
    do = data["do"]
    print("answers", data["nonce"])
    if do == "raise":
        raise ValueError("as it was asked to")
    if do == "memory":
        raise MemoryError
    if do == "exit":
        os._exit(3)
    if do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if do in ("hang", "block"):
        time.sleep(60)
    return [data["nonce"]] * data["times"]
"""
_ONE = """
@predictor{options}
def predict(data, model):
    return answer(data)

serve(__name__)
"""
_BATCH = """
@predictor(max_batch_size=8)
def predict(batch, model):
    return [answer(data) for data in batch]

serve(__name__)
"""
_ASYNC = """
@predictor
async def predict(data, model):
    await asyncio.sleep(60 if data["do"] == "hang" else 0.001)
    return answer(data)

serve(__name__)
"""

# What becomes of the reader of the log, when half of the requests are answered.
Reader = Literal["reads", "goes away", "stops"]


class Scenario(NamedTuple):
    """One server.

    Attributes:
        program: its source.
        reader: what becomes of who reads its log.
        preloads: whether workers are forked.
    """

    program: str
    reader: Reader
    preloads: bool = False


SCENARIOS = {
    "single": Scenario(_HEAD + _ONE.format(options=""), "reads"),
    "batches": Scenario(_HEAD + _BATCH, "goes away"),
    "threads": Scenario(_HEAD + _ONE.format(options="(threads=4)"), "stops"),
    "async": Scenario(_HEAD + _ASYNC, "reads"),
    "preload": Scenario(_HEAD + _ONE.format(options=""), "goes away", preloads=True),
}
