"""Multi Model Server's front end (Java): how it is set up, and how it is started."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference import _mms_variables as mms
from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError
from sagemaker_inference._frontends.base import ClientLimits, Launch
from sagemaker_inference._frontends.mms import class_data
from sagemaker_inference._frontends.mms.command import front_end_command
from sagemaker_inference._frontends.mms.jar import class_path
from sagemaker_inference._frontends.mms.java import find_java
from sagemaker_inference._ipc.wire import FORM_OVERHEAD
from sagemaker_inference._os import resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference._frontends.mms.java import Java

_CONFIGURATION: Final = "config.properties"
# Measured with the smallest requests: 30 µs of a thread for each, and 45 µs of a worker.
_WORKERS_PER_THREAD: Final = 2
_MEGABYTE: Final = 1024 * 1024
_LEAST_MB: Final = 128


class _Need(NamedTuple):
    """How much memory the front end may take.

    Attributes:
        payloads: for how many of the largest requests there is room, come and answered.
        answers: for how many of the largest responses there is room. Few are as large as they may
            be, and most servers have never been told how large that is.
        part: which part of the memory of the container or machine it takes at most, since models
            need the rest.
        least_payloads, least_answers: for how many there is room, however little memory there is,
            as long as that is at most half of it.
    """

    payloads: int
    answers: int
    part: int
    least_payloads: int
    least_answers: int

    def megabytes(self, payload: int, response: int) -> int:
        """What is wanted for bodies of up to so many megabytes."""
        return max(self.payloads * payload, self.answers * response)

    def least_megabytes(self, payload: int, response: int) -> int:
        """What is needed."""
        return max(self.least_payloads * payload, self.least_answers * response)


# Measured: 16 clients that each send and get 24 MB pass with a heap of 32 MB and 512 MB of direct
# memory. One body that comes in and goes out is there twice, and is sent in pieces.
_HEAP: Final = _Need(payloads=20, answers=5, part=8, least_payloads=0, least_answers=0)
_DIRECT: Final = _Need(payloads=40, answers=10, part=4, least_payloads=3, least_answers=1)
# In the user's arguments, these are about class data.
_OF_CLASS_DATA: Final = ("-Xshare", "-XX:AOT", "-XX:Shared", "-XX:ArchiveClasses")


@dataclass(frozen=True, slots=True)
class MultiModelServer:
    """Multi Model Server's front end with our handlers in its Netty pipeline.

    Attributes:
        java: the virtual machine.
        jars: its class path.
        host, port: what it serves.
        workers: how many workers run at the same time, as far as that is known.
        payload_limit: most bytes of a request's body.
        response_limit: most bytes of a response's body.
        answer_timeout: seconds until it gives up waiting for a worker or for the supervisor.
        clients: what clients may take.
        vmargs: further arguments for the virtual machine, after ours.
        own_threads: how many event loops it is to have; 0 leaves that to the machine.
        more: further properties.
        class_cache: whether class data in the user's cache folder is used, and made.
    """

    java: Java
    jars: str
    host: str
    port: int
    workers: int
    payload_limit: int
    response_limit: int
    answer_timeout: int
    clients: ClientLimits
    vmargs: str
    class_cache: bool = False
    own_threads: int = 0
    more: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def find(  # noqa: PLR0913 - what is served, and how
        cls,
        *,
        host: str,
        port: int,
        workers: int,
        payload_limit: int,
        response_limit: int,
        answer_timeout: int,
        clients: ClientLimits,
        vmargs: str,
        more: Mapping[str, str],
    ) -> MultiModelServer:
        """Find Java and Multi Model Server on this machine.

        The arguments are attributes.

        Raises:
            StartError: one of them is missing, or too old.
        """
        return cls(
            java=find_java(),
            jars=class_path(),
            host=host,
            port=port,
            workers=workers,
            payload_limit=payload_limit,
            response_limit=response_limit,
            answer_timeout=answer_timeout,
            clients=clients,
            vmargs=vmargs,
            class_cache=_variables.CLASS_CACHE.read(),
            own_threads=mms.THREADS.read() or 0,
            more=more,
        )

    @property
    def hint(self) -> str:
        """The user's arguments for the virtual machine, which may be what ended it."""
        return f"{_variables.VMARGS.name} is {self.vmargs!r}." if self.vmargs else ""

    @property
    def threads(self) -> int:
        """How many event loops it serves clients with."""
        if self.own_threads:
            return self.own_threads
        return max(1, min(resources.usable_cpus(), self.workers) // _WORKERS_PER_THREAD)

    def connections_for(self, slots: int, workers: int) -> int:
        """As many as the workers can use, and one for each event loop at least."""
        return max(slots * workers, self.threads)

    def prepare(self, folder: str, control_socket: str) -> Launch:
        """Write the configuration into the folder."""
        path = Path(folder, _CONFIGURATION)
        properties = self.properties(control_socket)
        lines = (f"{name}={_escaped(value)}\n" for name, value in properties.items())
        path.write_text("".join(lines))
        return Launch(self._command(path), dict(os.environ))

    def properties(self, control_socket: str) -> dict[str, str]:
        """The configuration; names as in MMS's ``docs/configuration.md``, but for the socket's."""
        return {
            "inference_address": f"http://{self.host}:{self.port}",
            "control_socket": control_socket,
            "default_response_timeout_seconds": str(self.answer_timeout),
            "max_request_size": str(self.payload_limit + FORM_OVERHEAD),
            # Of ours: what clients are told.
            "payload_limit": str(self.payload_limit),
            "max_response_size": str(self.response_limit + FORM_OVERHEAD),
            "client_header_timeout": str(self.clients.header_timeout),
            "client_idle_timeout": str(self.clients.idle_timeout),
            "client_body_timeout": str(self.clients.body_timeout),
            "client_write_timeout": str(self.clients.write_timeout),
            "stream_heartbeat": str(self.clients.stream_heartbeat),
            "websocket_idle_timeout": str(self.clients.websocket_idle_timeout),
            "websocket_ping_interval": str(self.clients.websocket_ping_interval),
            "max_connections": str(self.clients.max_connections or 0),
            "job_queue_size": str(self.clients.max_queue_size),
            "number_of_netty_threads": str(self.threads),
            "netty_client_threads": "1",
            # Variables concern several processes: see _mms_variables.
            "enable_envvars_config": "false",
            **self.more,
        }

    def _command(self, configuration: Path) -> list[str]:
        return front_end_command(
            self.java,
            self.jars,
            configuration,
            *self._class_data(),
            f"-Xmx{self._megabytes(_HEAP)}m",
            f"-XX:MaxDirectMemorySize={self._megabytes(_DIRECT)}m",
            *_arguments(self.vmargs),
        )

    def background(self, folder: str) -> Launch | None:
        """What to run in the background of a server, so that later ones start faster; or None.

        Args:
            folder: a private directory, for temporary files: what is killed leaves some.
        """
        if not self.class_cache or self._has_users_class_data:
            return None
        command = class_data.background_command(self.java, self.jars)
        return None if command is None else Launch(command, {**os.environ, "TMPDIR": folder})

    @property
    def _has_users_class_data(self) -> bool:
        return any(flag in self.vmargs for flag in _OF_CLASS_DATA)

    def _class_data(self) -> list[str]:
        # Java does not start with both ours and the user's.
        if self._has_users_class_data:
            return []
        return class_data.find(self.java, self.jars, cached=self.class_cache)

    def _megabytes(self, need: _Need) -> int:
        """A limit of memory: what is wanted, but no more than a share of what there is."""
        limits = self.payload_limit // _MEGABYTE, self.response_limit // _MEGABYTE
        wanted = max(_LEAST_MB, need.megabytes(*limits) + _LEAST_MB // 2)
        memory = resources.memory() // _MEGABYTE
        least = min(need.least_megabytes(*limits) + _LEAST_MB // 2, memory // 2)
        return min(wanted, max(memory // need.part, least))


def prepare() -> str:
    """Make what lets servers start faster from now on; says what was made.

    Raises:
        StartError: it could not be made.
    """
    java = find_java()
    path = class_data.make(java, class_path())
    size = path.stat().st_size / _MEGABYTE
    return f"Class data for {java.path} (Java {java.version}): {path}, {size:.0f} MB"


def _arguments(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        message = f"{_variables.VMARGS.name}={text!r} cannot be split into words: {error}."
        raise StartError(message) from None


def _escaped(value: str) -> str:
    """A value of a Java properties file."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
