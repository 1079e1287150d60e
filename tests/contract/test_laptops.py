"""Where Linux's own things are missing, a program is tested as well."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.documents import ROOT
from support.laptops import HIDE, HIDE_MORE

if TYPE_CHECKING:
    from pathlib import Path

TEST = """
from sagemaker_inference import asgi
from sagemaker_inference.errors import StartError
from sagemaker_inference.testing import ServerProcess, TestClient

with TestClient("inference.py") as client:
    assert client.invoke([[5.1, 3.5, 1.4, 0.2]]).raise_for_status().array().shape == (1, 3)
    assert client.ping().status_code == 200
    assert client.request("GET", "/metrics").status_code == 200
    assert client.request("GET", "/execution-parameters").status_code == 200
try:
    with ServerProcess("inference.py"):
        pass
except StartError as error:
    print(error)
"""


COMMANDS = """
from pathlib import Path
from sagemaker_inference.__main__ import main

assert main(["--version"]) == 0
assert main(["check"]) == 0
assert main(["invoke", "inference.py", "request.json"]) == 0
Path("in.csv").write_text("5.1,3.5,1.4,0.2\\n" * 3)
options = ["--content-type", "text/csv", "--accept", "text/csv", "--split", "Line"]
assert main(["transform", "inference.py", "in.csv", "out.csv", *options]) == 0
assert len(Path("out.csv").read_text().splitlines()) == 3
assert main(["schema", "inference.py", "--output", "openapi.json"]) == 0
"""

IMPORTS = """
import sagemaker_inference
from sagemaker_inference import asgi, codecs, metrics, testing
from sagemaker_inference import content_types, decoder, encoder, environment, errors, logging
from sagemaker_inference import default_handler_service, default_inference_handler, model_server
from sagemaker_inference import parameters, transformer, utils
from sagemaker_inference._cli._group import COMMANDS, _Commands
from sagemaker_inference._os import resources

assert all(getattr(sagemaker_inference, name) for name in sagemaker_inference.__all__)
assert resources.usable_cpus() > 0
for name in COMMANDS:
    assert _Commands().get_command(None, name)
"""

DEV = "here, serve the program with: sagemaker-inference dev inference.py"
# What needs the real server, and what it says instead of a traceback.
LINUX_ONLY = {
    "main(['serve'])": f"the server needs Linux: {DEV}",
    "main(['serve', 'inference.py'])": f"the server needs Linux: {DEV}",
    "main(['serve', '--model-dir', '.'])": f"the server needs Linux: {DEV}",
    "main(['serve', 'inference.py', '--docs'])": f"the server needs Linux: {DEV}",
    "main(['prepare'])": "prepare needs Linux: write RUN sagemaker-inference prepare into the "
    "Dockerfile",
    "main(['check', '--run'])": "--run needs Linux: check the files alone, or the URL of a "
    "container that runs",
    "main(['emulate', '--multi-model', '.'])": "--multi-model needs Linux: pass the --url of a "
    "container that runs, in place of it",
    "runpy.run_path('inference.py', run_name='__main__')": f"the server needs Linux: {DEV}",
    "start_model_server()": f"the server needs Linux: {DEV}",
}
RUN = """
import runpy
from sagemaker_inference.__main__ import main
from sagemaker_inference.model_server import start_model_server
sys.modules["__main__"].__file__ = "inference.py"
sys.exit({code})
"""


def _run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # On macOS, urllib has a module of macOS.
        [sys.executable, "-c", f"import urllib.request\n{HIDE}{code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("code", [IMPORTS, HIDE_MORE + IMPORTS], ids=["macOS", "Windows"])
def test_everything_public_is_imported_without_what_only_linux_has(
    code: str, tmp_path: Path
) -> None:
    done = _run(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("code", LINUX_ONLY)
def test_what_needs_linux_says_so_in_one_line(code: str) -> None:
    done = _run(RUN.format(code=code), ROOT / "examples" / "iris")
    assert done.returncode == 1
    assert done.stderr == f"sagemaker-inference: error: {LINUX_ONLY[code]}\n"


def test_commands_for_authors_run_without_what_only_linux_has(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "iris", tmp_path / "iris")
    done = _run(COMMANDS, tmp_path / "iris")
    assert done.returncode == 0, done.stderr


def test_a_program_is_tested_without_what_only_linux_has() -> None:
    done = _run(TEST, ROOT / "examples" / "iris")
    assert done.returncode == 0, done.stderr
    expected = "the server needs Linux: use TestClient, or the fixture sagemaker_endpoint.\n"
    assert done.stdout == expected
