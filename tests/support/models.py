"""Models for a server of many, and what is asked of it."""

from __future__ import annotations

import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tests.server.conftest import Reply, Server

START = "from sagemaker_inference import model_server\nmodel_server.start_model_server({})\n"
SOURCE = """
    import os, sys, time
    from sagemaker_inference import model_loader, predictor
    import helper

    @model_loader
    def load(model_dir):
        return helper.NAME

    @predictor
    def predict(data, model):
        if data == "kill":
            os.kill(os.getpid(), 9)
        if data == "sleep":
            time.sleep(1)
        return {"model": model, "pid": os.getpid(), "path": sys.path}
"""
FAILING = "def model_fn(model_dir):\n    {}\n\ndef predict_fn(data, model):\n    return data\n"


class Models:
    """A server of many models, and the folder that they lie in."""

    def __init__(self, serve: Callable[..., Server], folder: Path, **env: str) -> None:
        self.folder = folder
        handler = env.pop("handler", "")
        self.server = serve(
            START.format(handler),
            env={"SAGEMAKER_MULTI_MODEL": "true", **env},
            workers=None,
            name="start.py",
            arguments=("start.py",),
        )

    def write(self, name: str, source: str = SOURCE) -> Path:
        """Make a model: its program, and a module of the same name as every other's."""
        code = self.folder / "models" / name / "code"
        code.mkdir(parents=True, exist_ok=True)
        (code / "inference.py").write_text(textwrap.dedent(source))
        (code / "helper.py").write_text(f"NAME = {name!r}\n")
        return code.parent

    def load(self, name: str, path: Path | str) -> Reply:
        """Ask for a model."""
        body = f'{{"model_name": "{name}", "url": "{path}"}}'
        return self.server.request(body.encode(), path="/models")

    @contextmanager
    def loading(self, name: str) -> Iterator[Future[Reply]]:
        """Ask for a model that takes a minute; it is being loaded."""
        path = self.write(name, FAILING.format("import time; print('it loads'); time.sleep(60)"))
        with ThreadPoolExecutor(1) as pool:
            reply = pool.submit(self.load, name, path)
            self.server.wait_for_log("it loads")
            yield reply

    def invoke(self, name: str, body: str = "[1]") -> Reply:
        """Send a request to a model."""
        return self.server.request(body, path=f"/models/{name}/invoke")

    def unload(self, name: str) -> Reply:
        """Ask for its end."""
        return self.server.request(method="DELETE", path=f"/models/{name}")

    @property
    def names(self) -> list[str]:
        """What is listed."""
        reply = self.server.request(method="GET", path="/models")
        # The front end's own list fails while a model is being taken from it.
        return [model["modelName"] for model in reply.json.get("models", [{"modelName": "?"}])]

    def wait_listed(self, *names: str) -> None:
        """Wait until just these models are listed."""
        deadline = time.monotonic() + 20
        while self.names != sorted(names):
            assert time.monotonic() < deadline, (self.names, self.server.log)
            time.sleep(0.02)
