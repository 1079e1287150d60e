"""Multi Model Server's front end (Java): where it is, how it is set up, how it is started."""

from __future__ import annotations

import os
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sagemaker_inference import _config
from sagemaker_inference._errors import StartError
from sagemaker_inference._frontends.mms import class_data
from sagemaker_inference._frontends.mms.jar import class_path
from sagemaker_inference._frontends.mms.java import Java, find_java
from sagemaker_inference._ipc.messages import DEFAULT_HANDLER
from sagemaker_inference._ipc.wire import FORM_OVERHEAD
from sagemaker_inference._os import resources
from sagemaker_inference._os.child_process import python_command, starters_python_path

SOCKET_ENV: Final = "SAGEMAKER_INFERENCE_SOCKET"
READY_ENV: Final = "SAGEMAKER_INFERENCE_READY"
LINK_ENV: Final = "SAGEMAKER_INFERENCE_LINK"
SOCKET_NAME: Final = "backend.sock"
_MODEL: Final = "model=model"

_PACKAGE: Final = Path(__file__).parents[2]
# Measured with the smallest requests: 30 µs of a thread for each, and 45 µs of a model process.
_PROCESSES_PER_THREAD: Final = 2
# What it would download goes to a proxy that is not there: models come from the disk.
_NO_DOWNLOADS: Final = [
    f"-D{scheme}.proxy{what}"
    for scheme in ("http", "https")
    for what in ("Host=127.0.0.1", "Port=1")
] + ["-Dhttp.nonProxyHosts="]
_MAIN_CLASS: Final = "sagemaker_inference.FrontEnd"
_MEGABYTE: Final = 1024 * 1024
# Measured: 16 clients that each send and get 24 MB. Where many models are served, they fail with a
# heap of 384 MB or with 564 MB of direct memory, and pass with 448 MB and 768 MB. With one model,
# they pass with a heap of 32 MB and 512 MB of direct memory; forms are on the heap.
_HEAP_PER_PAYLOAD: Final = 20
_DIRECT_PER_PAYLOAD: Final = 40
_LEAST_MB: Final = 128
# One of them in the user's arguments has to fit the other.
_GROWTH: Final = ("-XX:MaxHeapFreeRatio=90", "-XX:MinHeapFreeRatio=80")


def prepare() -> str:
    """Make what lets servers start faster from now on; says what was made.

    Raises:
        StartError: it could not be made.
    """
    java = find_java()
    path = class_data.make(java.path, java.flags, class_path())
    size = path.stat().st_size / _MEGABYTE
    return f"The front end's classes for {java.path} (Java {java.version}): {path}, {size:.0f} MB"


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """How the front end is set up.

    Attributes:
        java: the virtual machine.
        folder: a private directory for its files and sockets.
        host, port: what it serves.
        connections: how many connections to the model processes it opens; with many models, to
            those of each.
        payload_limit: most bytes of a request's or a response's body.
        answer_timeout: seconds until it gives an answer up; longer than the supervisor's own limit.
        vmargs: further arguments for the virtual machine, after ours.
        multi_model: whether models are loaded and unloaded over HTTP.
        handler: the handler service of models that do not name one.
        processes: model processes of a model.
    """

    java: Java
    folder: str
    host: str
    port: int
    connections: int
    payload_limit: int
    answer_timeout: int
    vmargs: str
    multi_model: bool = False
    handler: str = DEFAULT_HANDLER
    processes: int = 1

    @property
    def socket_path(self) -> str:
        """Where the supervisor listens for the front end's connections."""
        return str(Path(self.folder, SOCKET_NAME))

    @property
    def ready_path(self) -> str:
        """A named pipe that gets a line when the models are loaded."""
        return str(Path(self.folder, "ready"))

    def properties(self) -> dict[str, str]:
        """The configuration; names as in MMS's ``docs/configuration.md``."""
        size = str(self.payload_limit + FORM_OVERHEAD)
        address = f"http://{self.host}:{self.port}"
        # It has no authentication and loads code from any address: not on the network unneeded.
        management = f"unix:{Path(self.folder, 'management.sock')}"
        return {
            "inference_address": address,
            "management_address": address if self.multi_model else management,
            "default_service_handler": self.handler,
            "default_response_timeout_seconds": str(self.answer_timeout),
            "max_request_size": size,
            "max_response_size": size,
            "decode_input_request": "false",
            "enable_envvars_config": "true",
            **(self._many_models() if self.multi_model else self._one_model()),
        }

    def _one_model(self) -> dict[str, str]:
        """Requests go over connections of our own; what else there is can wait for each other."""
        threads = max(1, min(resources.usable_cpus(), self.processes) // _PROCESSES_PER_THREAD)
        return {
            "back_end_socket": self.socket_path,
            "back_end_connections": str(self.connections),
            "number_of_netty_threads": str(threads),
            "netty_client_threads": "1",
            "default_workers_per_model": "1",
        }

    def _many_models(self) -> dict[str, str]:
        """Loading and unloading block a thread each: there are as many as Netty likes."""
        return {
            "models_folder": models_folder(self.folder),
            "default_workers_per_model": str(self.connections),
        }

    def write(self) -> None:
        """Write its files into the private directory."""
        folder = Path(self.folder)
        lines = [f"{name}={_escaped(value)}" for name, value in self.properties().items()]
        (folder / "config.properties").write_text("\n".join(lines) + "\n")
        Path(models_folder(self.folder), "model").mkdir(parents=True)
        os.mkfifo(self.ready_path, 0o600)

    def command(self) -> list[str]:
        """What to run."""
        folder = Path(self.folder)
        jars = class_path()
        archive = class_data.find(self.java.path, jars)
        return [
            self.java.path,
            *self.java.flags,
            *([f"-XX:SharedArchiveFile={archive}"] if archive else []),
            "-Xms16m",
            f"-Xmx{self._megabytes(_HEAP_PER_PAYLOAD)}m",
            f"-XX:MaxDirectMemorySize={self._megabytes(_DIRECT_PER_PAYLOAD)}m",
            *(self._bodies_on_heap() if self.multi_model else ()),
            *self.java.buffer_flags,
            # What nobody sees takes time at every start: management beans of the log, and the
            # address of a network card in the names of connections.
            "-Dlog4j2.disable.jmx=true",
            "-Dio.netty.machineId=00:00:00:00:00:00:00:01",
            f"-Djava.io.tmpdir={folder}",
            f"-Dlog4j.configurationFile={(_PACKAGE / 'etc' / 'log4j2.xml').as_uri()}",
            f"-Dmodel_server_home={_PACKAGE / 'mms_home'}",
            *(_NO_DOWNLOADS if self.multi_model else ()),
            *_arguments(self.vmargs),
            "-cp",
            jars,
            _MAIN_CLASS,
            "--python",
            "/bin/sh",
            "-f",
            str(folder / "config.properties"),
            "-s",
            *(("/",) if self.multi_model else (models_folder(self.folder), "-m", _MODEL)),
        ]

    def _bodies_on_heap(self) -> list[str]:
        """Requests to one of many models are copied to the heap, and from there.

        Small objects die in the young part; bodies that it has no room for go to the old one at
        once, uncopied. Once they fill that it grows by more than Java would let it: with room for
        few bodies, each of them costs a collection.
        """
        return ["-Xmn5m", *(() if "HeapFreeRatio" in self.vmargs else _GROWTH)]

    def _megabytes(self, per_payload: int) -> int:
        """A limit of memory that has room for so many bodies."""
        payload = self.payload_limit // _MEGABYTE
        return max(_LEAST_MB, payload * per_payload + _LEAST_MB // 2)

    def environment(self) -> dict[str, str]:
        """Its environment variables."""
        own = {SOCKET_ENV: self.socket_path, READY_ENV: self.ready_path}
        if self.multi_model:
            is_own = self.handler == DEFAULT_HANDLER
            path = os.environ.get("PYTHONPATH", "") if is_own else starters_python_path()
            python, _, code = python_command("sagemaker_inference._worker.multi_model_process")
            own |= {
                LINK_ENV: link_path(self.folder),
                "SAGEMAKER_INFERENCE_PYTHON": python,
                "SAGEMAKER_INFERENCE_CODE": code,
                # The front end puts the model's folder before the standard library.
                "SAGEMAKER_INFERENCE_PYTHONPATH": path,
                "OMP_NUM_THREADS": resources.threads(self.processes),
            }
        return {**os.environ, **own}


def link_path(folder: str) -> str:
    """Where the supervisor listens for processes that the front end starts for models."""
    return str(Path(folder, "link.sock"))


def models_folder(folder: str) -> str:
    """Where files lie about the models that are loaded over HTTP."""
    return str(Path(folder, "models"))


def client_host(host: str) -> str:
    """Where a client on this machine reaches what is served on an address."""
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound


def model_url(name: str) -> str:
    """The path of one of many models."""
    return f"/models/{quote(name, safe='')}"


def ask(host: str, port: int, method: str, path: str) -> socket.socket:
    """Send a request about models; what can be read until the connection ends is the response.

    Raises:
        OSError: the front end cannot be reached.
    """
    host = client_host(host)
    sock = socket.create_connection((host, port), timeout=1)
    sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return sock


def _arguments(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        message = f"{_config.VMARGS.name}={text!r} cannot be split into words: {error}."
        raise StartError(message) from None


def _escaped(value: str) -> str:
    """A value of a Java properties file."""
    return value.replace("\\", "\\\\")
