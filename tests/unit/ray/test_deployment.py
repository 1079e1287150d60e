"""What is asked of Ray, where it is missing, and where it is another version."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference import ray as on_ray
from sagemaker_inference.__main__ import main
from sagemaker_inference._cli._command import PROGRAM
from sagemaker_inference.ray import _library, _local
from sagemaker_inference.ray._replica import InnerReplica, Replica

if TYPE_CHECKING:
    from .conftest import FakeRay

StartError = on_ray._deployment.StartError
ONE_LOOP = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0"}
PROGRAM_TEXT = """
from sagemaker_inference import model_loader, predictor, serve
@model_loader
def load(): return 2
@predictor
def predict(data, model): return data * model
serve(__name__)
"""


def test_a_program_is_bound_by_its_path(fake_ray: FakeRay, tmp_path: Path) -> None:
    made: Any = on_ray.deployment("models/my model.py", model_dir="models")
    assert made.kind is Replica
    elsewhere = str(Path("models/my model.py").resolve()), str(Path("models").resolve())
    assert made.arguments == ("models/my model.py", "models", elsewhere)
    assert made.options == {
        "name": "my-model",
        "max_ongoing_requests": 64,
        "max_queued_requests": 100,
        "backpressure_config": {"status_code": 429, "retry_after_s": 1},
        "graceful_shutdown_timeout_s": 25,
        "ray_actor_options": {"runtime_env": {"env_vars": ONE_LOOP}},
    }


def test_options_are_rays(fake_ray: FakeRay) -> None:
    made: Any = on_ray.deployment(
        "inference.py",
        num_replicas="auto",
        autoscaling_config={"max_replicas": 4},
        max_ongoing_requests=8,
        name="other",
    )
    assert made.options["num_replicas"] == "auto"
    assert made.options["autoscaling_config"] == {"max_replicas": 4}
    assert made.options["max_ongoing_requests"] == 8
    assert made.options["name"] == "other"
    assert made.arguments[1] is None
    inner: Any = on_ray.deployment("inference.py", http=False)
    assert inner.kind is InnerReplica


def test_replicas_use_the_event_loop_of_ray_unless_they_are_told_not_to(fake_ray: FakeRay) -> None:
    env = {"working_dir": "s3://bucket/code.zip", "env_vars": {"A": "b"}}
    made: Any = on_ray.deployment("p.py", ray_actor_options={"num_gpus": 1, "runtime_env": env})
    shipped = {"working_dir": "s3://bucket/code.zip", "env_vars": {**ONE_LOOP, "A": "b"}}
    assert made.options["ray_actor_options"] == {"num_gpus": 1, "runtime_env": shipped}
    assert env["env_vars"] == {"A": "b"}
    apart = dict.fromkeys(ONE_LOOP, "1")
    options = {"runtime_env": {"env_vars": apart}}
    made = on_ray.deployment("p.py", ray_actor_options=options)
    assert made.options["ray_actor_options"] == options


def test_a_config_file_names_a_program(fake_ray: FakeRay) -> None:
    made: Any = on_ray.app({"program": "inference.py", "model_dir": "model"})
    assert made.arguments[:2] == ("inference.py", "model")
    with pytest.raises(StartError, match="are program and model_dir; there is no program"):
        on_ray.app({})
    with pytest.raises(StartError, match="there is port"):
        on_ray.app({"program": "inference.py", "port": 1})


@pytest.mark.parametrize("is_there", [True, False], ids=["a part", "all"])
def test_without_ray_one_line_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    name = "ray.serve" if is_there else "ray"
    monkeypatch.setitem(sys.modules, name, None)
    if is_there:
        monkeypatch.setitem(sys.modules, "ray", type(sys)("ray"))
    with pytest.raises(StartError) as caught:
        on_ray.deployment("inference.py")
    line = str(caught.value)
    assert line == (
        "sagemaker_inference.ray needs ray, which is not installed. "
        "Run: pip install 'sagemaker-inference[ray]'"
    )
    assert caught.value.__suppress_context__


def test_a_library_of_ray_that_does_not_fit_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def import_module(_name: str) -> None:
        raise ImportError("cannot import name 'Route' from 'starlette'", name="starlette")

    monkeypatch.setattr(_library, "import_module", import_module)
    with pytest.raises(StartError) as caught:
        on_ray.deployment("inference.py")
    assert str(caught.value) == (
        "ray.serve cannot be imported: cannot import name 'Route' from 'starlette'. "
        "Run: pip install 'sagemaker-inference[ray]'"
    )


@pytest.mark.parametrize("version", ["2.59.1", "2.61.0", "3.0.0", "nightly"])
def test_a_version_that_is_not_tested_is_named(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(_library, "version", lambda _name: version)
    with pytest.warns(RuntimeWarning, match=f"Ray {version} is installed; .* tested with Ray 2.60"):
        on_ray.deployment("inference.py")


def test_several_versions_may_be_tested(fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_library, "NEWEST", (2, 62))
    on_ray.deployment("inference.py")
    monkeypatch.setattr(_library, "version", lambda _name: "2.63.0")
    with pytest.warns(RuntimeWarning, match=r"tested with Ray 2\.60 to 2\.62"):
        on_ray.deployment("inference.py")


def test_the_package_is_not_the_one_of_its_name() -> None:
    """Importing it imports no Ray, and `import ray` finds Ray, or nothing."""
    code = (
        "import sagemaker_inference.ray, sys; assert 'ray' not in sys.modules\n"
        "try:\n"
        "    import ray\n"
        "except ModuleNotFoundError:\n"
        "    pass\n"
        "else:\n"
        "    assert ray is not sagemaker_inference.ray\n"
        "    assert 'sagemaker_inference' not in (ray.__file__ or '')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_command_writes_what_ray_takes(
    fake_ray: FakeRay, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = pytest.importorskip("yaml", exc_type=ImportError)
    target = tmp_path / "config.yaml"
    words = ["ray", "/opt/program.py", "--replicas", "3", "--model-dir", "/opt/model"]
    assert main([*words, "--write", str(target)]) == 0
    document = yaml.safe_load(target.read_text())
    assert fake_ray.heard == [document]
    application = document["applications"][0]
    assert application["import_path"] == "sagemaker_inference.ray:app"
    assert application["args"] == {"program": "/opt/program.py", "model_dir": "/opt/model"}
    assert application["deployments"][0]["num_replicas"] == 3
    assert document["http_options"] == {"host": "0.0.0.0", "port": 8000}  # noqa: S104
    assert f"serve deploy {target}" in capsys.readouterr().out
    assert main(["ray", "/opt/program.py", "--write", str(target)]) == 0
    application = yaml.safe_load(target.read_text())["applications"][0]
    assert application["args"] == {"program": "/opt/program.py"}


def test_a_file_that_cannot_be_written_is_named(
    fake_ray: FakeRay, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("yaml", exc_type=ImportError)
    target = tmp_path / "nowhere" / "config.yaml"
    assert main(["ray", "--write", str(target)]) == 2
    assert f"there is no folder {target.parent}" in capsys.readouterr().err
    assert main(["ray", "--write", "/dev/full"]) == 1
    assert "/dev/full cannot be written: No space left on device" in capsys.readouterr().err


def test_an_application_runs_under_a_name(fake_ray: FakeRay) -> None:
    made: Any = on_ray.deployment("inference.py")
    assert on_ray.run(made, name="other", route_prefix="/other") == "handle"
    assert fake_ray.heard == [(made, {"name": "other", "route_prefix": "/other"})]
    fake_ray.problem = "there are no weights"
    with pytest.raises(StartError, match=r"^Deploying failed\.$"):
        on_ray.run(made, name="other")
    with pytest.raises(StartError, match=r"^Deploying failed\.\nthere are no weights$"):
        on_ray.run(made)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "inference.py"
    path.write_text(PROGRAM_TEXT)
    return path


def test_the_command_serves_until_it_is_stopped(
    fake_ray: FakeRay,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(_local.signal, "signal", handlers.__setitem__)

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            handlers[signal.SIGTERM]()
            return super().wait(timeout)

    monkeypatch.setattr(_local.threading, "Event", Over)
    assert main(["ray", str(program), "--replicas", "2", "--port", "8123"]) == 0
    named = [item[0] if isinstance(item, tuple) else item for item in fake_ray.heard]
    assert named[:2] == ["init", "start"]
    made: Any = named[2]
    assert made.options["num_replicas"] == 2
    assert named[3:] == ["delete", "serve.shutdown", "shutdown"]
    assert fake_ray.heard[1][1] == {"http_options": {"host": "127.0.0.1", "port": 8123}}
    assert f"{program} is served at http://127.0.0.1:8123." in capsys.readouterr().out


def test_the_command_says_why_a_program_cannot_be_served(
    fake_ray: FakeRay,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(_local.signal, "signal", lambda *_: None)
    fake_ray.problem = "there are no weights"
    assert main(["ray", str(program)]) == 1
    assert capsys.readouterr().err == f"{PROGRAM}: error: Deploying failed.\nthere are no weights\n"
    assert fake_ray.heard[-1] == "shutdown"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            RuntimeError("Traceback:\n  File\nOSError: Failed to bind.\n"),
            "OSError: Failed to bind.",
        ),
        (TimeoutError(), "TimeoutError()"),
    ],
)
def test_the_command_says_why_ray_serve_cannot_start(
    error: Exception,
    cause: str,
    fake_ray: FakeRay,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def start(**_options: Any) -> None:
        raise error

    monkeypatch.setattr(_local.signal, "signal", lambda *_: None)
    monkeypatch.setattr(fake_ray.serve, "start", start)
    assert main(["ray", str(program), "--port", "8123"]) == 1
    assert capsys.readouterr().err == (
        f"{PROGRAM}: error: Ray Serve cannot start on 127.0.0.1:8123: {cause}\n"
    )
    assert fake_ray.heard[-1] == "shutdown"


def test_the_command_names_a_path_that_is_not_there(
    fake_ray: FakeRay, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ray", "nowhere.py"]) == 1
    assert "nowhere.py is not there" in capsys.readouterr().err
    assert main(["ray", str(program), "--model-dir", "nowhere"]) == 1
    assert "nowhere is not there" in capsys.readouterr().err
    assert not fake_ray.heard
