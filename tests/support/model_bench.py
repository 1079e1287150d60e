"""Models with real workers, and a front end that a test plays."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from support.builders import settings
from support.fake_front_end import Bench, FakeFrontEnd

from sagemaker_inference._supervisor.deployment import Surroundings
from sagemaker_inference._supervisor.management import Management
from sagemaker_inference._supervisor.model_repository import ModelRepository
from sagemaker_inference._supervisor.worker_records import Records

if TYPE_CHECKING:
    from pathlib import Path

    from sagemaker_inference._supervisor.front_end import Request
    from sagemaker_inference._supervisor.outcome import Outcome

SOURCE = """
    import time

    def model_fn(model_dir):
        return None

    def transform_fn(model, data, content_type, accept, context):
        data = eval(data)
        if isinstance(data, dict):
            time.sleep(data["sleep"])
        return f"{context.model_name} {data}", "text/plain"
"""
FAILING = "def model_fn(model_dir):\n    {}\n\ndef predict_fn(data, model):\n    return data\n"


class ModelBench(Bench):
    """Many models.

    Attributes:
        lost: models that could not be kept.
        is_stopped: whether none is left after the stop.
    """

    def __init__(self, folder: Path, **changes: Any) -> None:
        super().__init__(folder, FakeFrontEnd())
        self.lost: list[str] = []
        self.is_stopped = False
        surroundings = Surroundings(
            self.loop, self.process, str(folder), self.pool, Records(), self.outputs
        )
        self.repository = ModelRepository(surroundings, self)
        self.settings = settings(multi_model=True, **changes)
        self.management = Management(self.settings, self.repository, self.process)
        self._number = 0
        self.loop.every(0.02, self.repository.reap)
        self.loop.every(0.1, self.repository.check_time_limits)

    def on_lost(self, name: str, _outcome: Outcome) -> None:
        self.lost.append(name)

    def on_all_stopped(self) -> None:
        self.is_stopped = True

    def on_request(self, request: Request) -> None:
        self.management.handle(request)

    def model(self, source: str = SOURCE, name: str = "model") -> str:
        """Write a model; returns its folder."""
        code = self.folder / name / "code"
        code.mkdir(parents=True, exist_ok=True)
        (code / "inference.py").write_text(textwrap.dedent(source))
        return str(code.parent)

    def ask(self, method: str, target: str, document: object = None) -> int:
        """Leave a request to the supervisor; returns its number."""
        self._number += 1
        body = b"" if document is None else json.dumps(document).encode()
        self.request(self._number, method, target, body, "application/json" if body else "")
        return self._number

    def answer(self, method: str, target: str, document: object = None) -> tuple[int, Any]:
        """Ask, and what the next reply says."""
        number = self.ask(method, target, document)
        found, status, answer = self.reply()
        assert found == number
        return status, answer

    def load(self, name: str = "m", **fields: Any) -> int:
        """Load a model; returns the number of its deployment."""
        url = fields.pop("url", None) or self.model()
        asked = self.ask("POST", "/models", {"model_name": name, "url": url, **fields})
        number: int = self.deploy()["id"]
        assert self.reply() == (asked, 200, {"status": "Workers scaled"})
        return number

    def unload(self, name: str = "m") -> None:
        """Unload a model."""
        asked = self.ask("DELETE", f"/models/{name}")
        self.retire()
        assert self.reply() == (asked, 200, {"status": f'Model "{name}" unregistered'})

    def close(self) -> None:
        self.repository.close()
        super().close()


def refused(status: int, kind: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"code": status, "type": kind, "message": message}


def not_found(name: str) -> tuple[int, dict[str, Any]]:
    return refused(404, "ModelNotFoundException", f"Model not found: {name}")


def add(models: ModelBench, name: str, **fields: Any) -> None:
    """Load a model that has no workers."""
    document = {"model_name": name, "url": models.model(), "initial_workers": 0, **fields}
    assert models.answer("POST", "/models", document) == (
        200,
        {"status": f'Model "{name}" registered'},
    )
