"""Installs packages in a process of its own, so that pings are answered meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sagemaker_inference._log import get_logger
from sagemaker_inference._os.child_process import ChildProcess, describe_exit
from sagemaker_inference._os.interpreter import python_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._os.output import Outputs

logger = get_logger()

_FAILED = 1


class Installer:
    """Runs the installer of packages.

    Args:
        loop: passes on what it says.
        folder: a private directory for its temporary files: it may be killed.
        outputs: where it writes.
        on_installed: gets its exit code when it has ended; the log says why it failed.
    """

    def __init__(
        self,
        loop: EventLoop,
        folder: str,
        outputs: Outputs,
        on_installed: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._folder = folder
        self._targets = outputs.out, outputs.err
        self._on_installed = on_installed
        self._child: ChildProcess | None = None

    def start(self, requirements: str) -> None:
        """Install what a file lists."""
        command = python_command("sagemaker_inference._supervisor.requirements", requirements)
        try:
            child = ChildProcess.spawn(
                command, env={**os.environ, "TMPDIR": self._folder}, targets=self._targets
            )
        except OSError as error:
            logger.error(  # noqa: TRY400 - it says all
                "the packages of %s cannot be installed: %s", requirements, error
            )
            self._on_installed(_FAILED)
            return
        for relay in child.relays:
            self._loop.watch_relay(relay)
        self._child = child

    def reap(self) -> None:
        """Notice that it has ended."""
        code = None if self._child is None else self._child.reap()
        if code is None:
            return
        self.close()
        if code < 0:  # it could not say why itself
            logger.error("the installer of packages %s", describe_exit(code))
        self._on_installed(code)

    def close(self) -> None:
        """End it, and what it has started."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill_group()
        child.wait()
        for relay in child.relays:
            self._loop.unwatch(relay.source)
            relay.close()
