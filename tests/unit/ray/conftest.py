"""A double of Ray, which is not installed where these tests run; tests/ray has the real one."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference import metrics
from sagemaker_inference.ray import _library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Deployment:
    """What `serve.deployment` has made of a class."""

    def __init__(self, options: dict[str, Any], kind: type) -> None:
        self.options = options
        self.kind = kind
        self.arguments: tuple[Any, ...] = ()

    def bind(self, *arguments: Any) -> Deployment:
        self.arguments = arguments
        return self


class FakeRay(ModuleType):
    """As much of Ray as the package calls.

    Attributes:
        heard: what was called.
        gpus: the GPUs of this process.
        problem: why an application cannot run.
        set: the metrics that were set, by name and labels.
    """

    def __init__(self) -> None:
        super().__init__("ray")
        self.heard: list[Any] = []
        self.gpus: list[int] = []
        self.problem = ""
        self.set: dict[Any, float] = {}
        self.serve: Any = ModuleType("ray.serve")
        self.serve.deployment = lambda **options: lambda kind: Deployment(options, kind)
        self.serve.ingress = lambda: lambda kind: kind
        self.serve.start = lambda **options: self.heard.append(("start", options))
        self.serve.run = self.run
        self.serve.status = self.status
        self.serve.delete = lambda name: self.heard.append(("delete", name))
        self.serve.shutdown = lambda: self.heard.append("serve.shutdown")
        self.serve.metrics = ModuleType("ray.serve.metrics")
        for kind in ("Counter", "Gauge"):
            setattr(self.serve.metrics, kind, self.metric(kind))
        self.serve.schema = ModuleType("ray.serve.schema")
        self.serve.schema.ServeDeploySchema = ModuleType("ServeDeploySchema")
        self.serve.schema.ServeDeploySchema.model_validate = self.heard.append
        self.data = ModuleType("ray.data")

    def get_gpu_ids(self) -> list[int]:
        return self.gpus

    def init(self, **options: Any) -> None:
        self.heard.append(("init", options))

    def shutdown(self) -> None:
        self.heard.append("shutdown")

    def run(self, application: Deployment, **options: Any) -> str:
        if self.problem:
            raise RuntimeError("Deploying failed.")
        self.heard.append((application, options))
        return "handle"

    def status(self) -> Any:
        fine = SimpleNamespace(status="HEALTHY", message="fine")
        failed = SimpleNamespace(status="DEPLOY_FAILED", message=self.problem)
        application = SimpleNamespace(deployments={"fine": fine, "failed": failed})
        return SimpleNamespace(applications={"default": application})

    def metric(self, kind: str) -> Callable[..., Any]:
        fake = self

        class Metric:
            def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
                fake.heard.append((kind, name, description, tag_keys))
                self.name = name

            def inc(self, value: float, tags: dict[str, str]) -> None:
                key = self.name, *tags.items()
                fake.set[key] = fake.set.get(key, 0) + value

            def set(self, value: float, tags: dict[str, str]) -> None:
                fake.set[(self.name, *tags.items())] = value

        return Metric


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay()
    modules = {
        "ray": fake,
        "ray.serve": fake.serve,
        "ray.serve.metrics": fake.serve.metrics,
        "ray.serve.schema": fake.serve.schema,
        "ray.data": fake.data,
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(_library, "version", lambda _name: "2.60.0")
    metrics.reset()
    yield fake
    metrics.reset()
