"""Many models as on a multi-model endpoint of SageMaker: folders that are loaded over HTTP."""

import http.client
import json
import os
import time
from pathlib import Path

import task


def make_models(program):
    """A folder for each model, as SageMaker unpacks its archive."""
    for name in task.MODELS:
        Path("models", name, "code").mkdir(parents=True)
        Path("models", name, "code", "inference.py").write_text(program)


def load_models():
    """Load all from a process of its own, while this one becomes the server."""
    if os.fork():
        return
    for name in task.MODELS:
        body = json.dumps({"model_name": name, "url": str(Path.cwd() / "models" / name)})
        while not _is_loaded(body):
            time.sleep(0.02)
    os._exit(0)


def _is_loaded(body):
    connection = http.client.HTTPConnection(task.HOST, task.PORT, timeout=60)
    try:
        connection.request("POST", "/models", body, {"Content-Type": "application/json"})
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
