"""Where Linux's own things are missing, a program is tested as well."""

from __future__ import annotations

import subprocess
import sys

from support.documents import ROOT

# Before anything looks at them: what macOS, or Windows, does not have.
HIDE = """
import os, select, signal, sys
sys.platform = "darwin"
missing = {
    os: "eventfd fork memfd_create pidfd_open register_at_fork sched_getaffinity waitid",
    select: "epoll",
    signal: "pthread_sigmask",
}
for module, names in missing.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""

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


def test_a_program_is_tested_without_what_only_linux_has() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDE + TEST],
        cwd=ROOT / "examples" / "iris",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    expected = "the server needs Linux: use TestClient, or the fixture sagemaker_endpoint.\n"
    assert done.stdout == expected
