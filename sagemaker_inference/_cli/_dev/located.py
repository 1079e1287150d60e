"""Where a program and its model are now: links lead there, and may lead elsewhere later."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagemaker_inference._cli._dev.watching import Folders
from sagemaker_inference._errors import StartError
from sagemaker_inference.asgi._source import source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference.asgi._source import Source


class Located(NamedTuple):
    """What a server is started with.

    Attributes:
        source: the program, which is not a link.
        model_dir: the folder of the model.
    """

    source: Source
    model_dir: str


class Locator:
    """Looks where the program and its model are.

    Args:
        program: its file.
        model_dir: the folder of the model; None leaves it to the program.
        others: further folders of which every file counts.
        ignored: folders of which none does.

    Raises:
        StartError: there is no such file or folder.
    """

    def __init__(
        self,
        program: str,
        model_dir: str | None,
        others: Sequence[Path] = (),
        ignored: Sequence[Path] = (),
    ) -> None:
        self._program = program
        self._model_dir = model_dir
        self._others = others
        self._ignored = ignored
        self._found = self._find()

    def locate(self) -> Located:
        """Where they are; where they were last, while a link leads nowhere."""
        return self._look()[0]

    def folders(self) -> Folders:
        """What is to be watched, resolved."""
        return self._look()[1]

    def _look(self) -> tuple[Located, Folders]:
        with contextlib.suppress(StartError):
            self._found = self._find()
        return self._found

    def _find(self) -> tuple[Located, Folders]:
        source = source_of(self._program)
        model_dir = source.model_dir(self._model_dir)
        assert source.program is not None  # noqa: S101 - the command has a file
        file = Path(source.program.path)
        folders = Folders(file.parent, Path(model_dir), self._others, self._ignored, file)
        return Located(source, model_dir), folders.resolved()
