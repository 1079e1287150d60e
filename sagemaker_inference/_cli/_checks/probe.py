"""A server that rules send requests to."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._cli._endpoint import Endpoint
from sagemaker_inference._errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagemaker_inference._cli._checks.target import Target
    from sagemaker_inference.testing import Reply, ServerProcess


class Timed(NamedTuple):
    """A reply, and how many seconds it took."""

    reply: Reply
    seconds: float


class Probe:
    """A server that runs.

    Args:
        url: where it is.
        server: its process; None where it runs elsewhere.
        start_seconds: how long it took to start; None where it runs elsewhere.
    """

    def __init__(
        self, url: str, server: ServerProcess | None = None, start_seconds: float | None = None
    ) -> None:
        self.url = url
        self.server = server
        self.start_seconds = start_seconds
        self.endpoint = Endpoint(url)

    def reach(self) -> None:
        """Look whether it is there.

        Raises:
            CommandError: it does not answer.
        """
        try:
            self.ask("GET", "/ping")
        except OSError as error:
            message = f"there is no answer from {self.url}: {error}. Is the server running?"
            raise CommandError(message) from None

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Timed:
        """Send a request.

        Raises:
            OSError: there is no answer.
        """
        began = time.monotonic()
        reply = self.endpoint.request(method, path, body, headers)
        return Timed(reply, time.monotonic() - began)


@contextmanager
def probing(target: Target, url: str | None, model_dir: str | None) -> Iterator[None]:
    """Give a target a server: that at a URL, or one that is started for its program."""
    with ExitStack() as stack:
        if url is not None:
            target.probe = Probe(url)
            target.probe.reach()
        elif reason := target.lacks("import"):
            target.server_problem = reason
        else:
            target.probe = _started(target, model_dir, stack)
        if target.probe is not None:
            stack.callback(target.probe.endpoint.close)
        yield


def _started(target: Target, model_dir: str | None, stack: ExitStack) -> Probe | None:
    # For Linux alone.
    from sagemaker_inference.testing import ServerProcess

    assert target.program is not None  # noqa: S101 - or it would be lacking
    began = time.monotonic()
    target.on_wait("the server starts, and loads the model")
    try:
        server = stack.enter_context(ServerProcess(target.program.path, model_dir=model_dir))
    except StartError as error:
        target.fail_to_start(str(error))
        return None
    return Probe(server.url, server, time.monotonic() - began)
