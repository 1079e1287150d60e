"""Installs the requirements.txt of a model's code folder before the model is loaded."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError
from sagemaker_inference._log import configure_logger, get_logger, last_word

logger = get_logger()

REPOSITORY_ENV: Final = _variables.CODEARTIFACT_REPOSITORY.name
# A folder of this name beside requirements.txt is all that is installed from.
WHEELS: Final = "wheels"

# As `python -m pip`, but for the working directory on the path: a program's json.py is not pip's.
_PIP: Final = (
    "import sys; sys.path[:1] = [path for path in sys.path[:1] if path]; import runpy; "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)
_OURS: Final = "sagemaker-inference"
_LAST_LINES: Final = 15
_RELAY_SECONDS: Final = 5.0
_ARN: Final = re.compile(
    r"arn:[^:]+:codeartifact:(?P<region>[^:]+):(?P<owner>[^:]+)"
    r":repository/(?P<domain>[^/]+)/(?P<repository>.+)"
)


class RequirementsError(StartError, ValueError):
    """The packages could not be installed; the message ends with the installer's last lines."""


def install(path: str) -> None:
    """Install what a file asks for into the running interpreter; its output goes to the log.

    As by ``pip install -r requirements.txt`` in the folder of the file, where its relative paths
    begin. With a folder ``wheels`` beside the file, from there and nowhere else; with
    CA_REPOSITORY_ARN, from that CodeArtifact repository. This package stays as it is.

    Raises:
        RequirementsError: it failed, or there is nothing to install with, or the file asks for
            another version of this package.
    """
    file = Path(path).absolute()
    command = [*_installer(), "-r", str(file)]
    wheels = file.parent / WHEELS
    own: dict[str, str] = {}
    index = ""
    if wheels.is_dir():
        command += ["--no-index", "--find-links", str(wheels)]
        # In place of folders that somebody has configured, which would be searched too.
        own = {"PIP_FIND_LINKS": str(wheels)}
    elif repository := _variables.CODEARTIFACT_REPOSITORY.read():
        # By the environment: a command line is there for every process to read.
        index = _codeartifact_index(repository)
        own = {"PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index}
    quiet = {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_PROGRESS_BAR": "off",
        "UV_NO_PROGRESS": "1",
    }
    logger.info("installing the packages of %s", path)
    failure, lines = _run(command, str(file.parent), {**quiet, **os.environ, **own}, index)
    if failure is not None:
        raise RequirementsError(_explained(path, failure, lines)) from None
    importlib.invalidate_caches()


def main(argv: list[str]) -> int:
    """Install the packages of the file that is the first argument; returns the exit code."""
    configure_logger()
    try:
        install(argv[1])
    except StartError as error:
        last_word(error)
        return 1
    return 0


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-c", _PIP, "install"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    message = (
        f"failed to install required packages: {sys.executable} has no pip, and there is no uv on "
        "PATH. Install one of them into the image, or the packages themselves."
    )
    raise RequirementsError(message)


def _run(
    command: list[str], folder: str, env: dict[str, str], index: str
) -> tuple[Exception | None, list[str]]:
    """Run an installer in a folder and log what it says, but for an index with a token in it.

    It gets the version of this package as a constraint: another one would take away the server.

    Returns:
        Why it failed, and its last lines.
    """
    reader, writer = os.pipe()
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    token = index.partition("@")[0].rpartition(":")[2]
    hidden = [index, token, unquote(token)] if index else []

    def relay() -> None:
        with os.fdopen(reader, errors="replace") as output:
            for line in output:
                text = line.rstrip()
                for secret in hidden:
                    text = text.replace(secret, "****")
                logger.info("%s", text)
                lines.append(text)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    failure: Exception | None = None
    try:
        # What is killed leaves its temporary files behind.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            constraints = Path(temporary, "constraints.txt")
            constraints.write_text(_pin())
            subprocess.check_call(  # noqa: S603 - the interpreter's own pip
                [*command, "-c", str(constraints)],
                cwd=folder,
                env={**env, "TMPDIR": temporary},
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=subprocess.STDOUT,
            )
    except (subprocess.CalledProcessError, OSError) as error:
        failure = error
    finally:
        os.close(writer)
        thread.join(_RELAY_SECONDS)
    return failure, list(lines)


def _pin() -> str:
    """The version of this package, as a line of requirements; "" where it is not installed."""
    try:
        return f"{_OURS}=={metadata.version(_OURS)}"
    except metadata.PackageNotFoundError:
        return ""


def _is_about_ours(said: str) -> bool:
    """Whether an installer refuses another version of this package."""
    pin = _pin()
    # As pip says it, and uv.
    return bool(pin) and (
        f"(constraint) {pin}" in said or ("unsatisfiable" in said and pin in said)
    )


def _explained(path: str, failure: Exception, lines: list[str]) -> str:
    said = "\n".join(lines)
    why = f"{failure}" if isinstance(failure, OSError) else ""
    if "Read-only file system" in said + why:
        why = (
            f"{sys.prefix} is read-only. Build the packages into the image, and leave {path} out "
            "of the model archive"
        )
    elif "No space left on device" in said + why:
        why = (
            f"the disk is full. Give the container more, or build the packages of {path} into the "
            "image"
        )
    elif _is_about_ours(said):
        why = (
            f"it asks for another version of {_OURS} than {_pin().rpartition('=')[2]}, which is "
            f"serving. Leave {_OURS} out of it: the image has it"
        )
    return f"failed to install required packages of {path}{': ' + why if why else ''}\n{said}"


def _codeartifact_index(repository: str) -> str:
    """The address of a CodeArtifact repository, with a token in it.

    https://docs.aws.amazon.com/codeartifact/latest/ug/python-configure-pip.html

    Raises:
        RequirementsError: the ARN is malformed, boto3 is missing, or AWS refuses.
    """
    found = _ARN.fullmatch(repository)
    if found is None:
        message = (
            f"{REPOSITORY_ENV}={repository!r} is not the ARN of a CodeArtifact repository, such as "
            "arn:aws:codeartifact:REGION:ACCOUNT:repository/DOMAIN/REPOSITORY."
        )
        raise RequirementsError(message)
    try:
        boto3: Any = importlib.import_module("boto3")
    except ImportError:
        message = (
            f"{REPOSITORY_ENV} is set, and boto3 is not installed. Install it in the image with: "
            "pip install 'sagemaker-inference[codeartifact]'"
        )
        raise RequirementsError(message) from None
    where = {"domain": found["domain"], "domainOwner": found["owner"]}
    try:
        client = boto3.client("codeartifact", region_name=found["region"])
        token = client.get_authorization_token(**where)["authorizationToken"]
        answer = client.get_repository_endpoint(
            **where, repository=found["repository"], format="pypi"
        )
    except Exception as error:  # noqa: BLE001 - botocore makes its classes at run time
        message = f"{REPOSITORY_ENV}={repository!r}: CodeArtifact gives no access: {error}"
        raise RequirementsError(message) from None
    scheme, _, rest = answer["repositoryEndpoint"].rstrip("/").partition("://")
    return f"{scheme}://aws:{quote(token, safe='')}@{rest}/simple/"
