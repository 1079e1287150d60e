"""What is checked: a folder, a file or a server, and what is known of it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _variables
from sagemaker_inference._cli._checks.image import image_of
from sagemaker_inference._os.interpreter import run_module
from sagemaker_inference._program import location
from sagemaker_inference._program.location import Program
from sagemaker_inference._schemas.request_files import Sample, samples_beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._cli._checks.image import Image
    from sagemaker_inference._cli._checks.probe import Probe
    from sagemaker_inference._cli._checks.rules import Need

_DOCKERFILE: Final = "Dockerfile"
_REQUIREMENTS: Final = "requirements.txt"
_CODE: Final = "code"
_MODEL: Final = "model"
_UNSERVABLE: Final = "the program cannot be served"
# SageMaker gives a start eight minutes, of which the import is a part.
IMPORT_SECONDS: Final = 480


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a process that has imported the program says of it.

    Attributes:
        phase: what failed: "import", "assembly" or "" for nothing.
        problem: why, and the fix.
        file, line: where the function is that predicts.
        is_hinted: whether its input has a type hint.
        streams: whether it yields its answer.
        types: the content types of the program's decoders.
    """

    phase: str = ""
    problem: str = ""
    file: str = ""
    line: int = 0
    is_hinted: bool = False
    streams: bool = False
    types: tuple[str, ...] = ()


class Target:
    """What is checked.

    Args:
        path: a folder, or the program's file; None where there is only a server.

    Attributes:
        folder: the folder; None where there is only a server.
        probe: what the server has answered, once there is one.
        server_problem: why there is no server.
        start_problem: what a server has logged that did not start; "" otherwise.
        on_wait: called with what takes its time, before it does.
    """

    def __init__(self, path: Path | None) -> None:
        self.on_wait: Callable[[str], object] = lambda _: None
        self.probe: Probe | None = None
        self.start_problem = ""
        self.server_problem = "only with --run, or for a URL"
        self.folder = None if path is None else path.parent if path.is_file() else path
        self._file = path if path is not None and path.is_file() else None

    @property
    def name(self) -> str:
        """What is checked, for messages."""
        path = self._file or self.folder
        return self.label(path) if path else "the server"

    @property
    def model_folder(self) -> Path:
        """The folder that a container has as the model's."""
        assert self.folder is not None  # noqa: S101 - there are files
        folder = self.folder.resolve()
        return folder.parent if folder.name == _CODE else self.folder

    @property
    def folders(self) -> list[Path]:
        """Where files are looked for: the folder, its `code`, and the one around `code`."""
        assert self.folder is not None  # noqa: S101 - there are files
        return list(dict.fromkeys([self.folder, self.folder / _CODE, self.model_folder]))

    @cached_property
    def program(self) -> Program | None:
        """The program; None if there is none."""
        if self._file is not None:
            return Program.from_file(str(self._file))
        if self.folder is None:
            return None
        name = _variables.PROGRAM.read()
        for folder in (self.folder / _CODE, self.folder):
            if found := Program.from_name(name, str(folder)):
                return found
        return None

    @property
    def model_dir(self) -> str | None:
        """The folder of the model, where its folder `code` has the program; else None."""
        if self.folder is None or self.program is None:
            return None
        root = Path(self.program.root).resolve()
        if (self.folder / _CODE).resolve() == root and self._file is None:
            return str(self.folder)
        # A folder that happens to have this name may have its model where programs have theirs.
        folder = self.folder.absolute()
        is_code = folder.name == _CODE and folder.resolve() == root and not (root / _MODEL).is_dir()
        return str(folder.parent) if is_code else None

    @cached_property
    def inspection(self) -> Inspection:
        """What the program is, as another process finds by importing it."""
        assert self.program is not None  # noqa: S101 - the rule has asked for it
        module = "sagemaker_inference._cli._checks.inspection"
        where = self.program.module, self.program.root
        self.on_wait("the program is imported")
        try:
            done = run_module(module, *where, timeout=IMPORT_SECONDS)
        except subprocess.TimeoutExpired:
            problem = f"it is not imported within {IMPORT_SECONDS} s. Load models in @model_loader."
            return Inspection("import", problem)
        if done.output:
            facts = json.loads(done.output)
            return Inspection(**{**facts, "types": tuple(facts["types"])})
        last = (done.log.strip().splitlines() or ["it printed nothing"])[-1]
        problem = f"the process that imported it ended with {done.code}: {last}"
        return Inspection("import", problem)

    @cached_property
    def requirements(self) -> Path | None:
        """The requirements.txt that a container installs; None if there is none."""
        return location.requirements(self.model_folder)

    @property
    def others(self) -> list[Path]:
        """Each other requirements.txt beside the program, or around it."""
        assert self.program is not None  # noqa: S101 - the rule has asked for it
        folders = dict.fromkeys([*self.folders, Path(self.program.root)])
        files = [path for folder in folders if (path := folder / _REQUIREMENTS).is_file()]
        paths = {path.resolve(): path for path in files}
        if self.requirements is not None:
            paths.pop(self.requirements.resolve(), None)
        return list(paths.values())

    @cached_property
    def dockerfile(self) -> Path | None:
        """The Dockerfile; None if there is none."""
        return self._find(_DOCKERFILE)

    @cached_property
    def image(self) -> Image:
        """The image that the Dockerfile builds."""
        assert self.dockerfile is not None  # noqa: S101 - the rule has asked for it
        return image_of(self.dockerfile)

    def file_in_image(self, path: str) -> Path | None:
        """The file here that a path of the image is copied from, if there is one."""
        assert self.dockerfile is not None  # noqa: S101 - the rule has asked for it
        wanted = PurePosixPath(path)
        folder = self.dockerfile.parent
        files: list[Path] = []
        for *sources, to in self.image.copied():
            is_inside = wanted.is_relative_to(to)
            inside = wanted.relative_to(to) if is_inside else PurePosixPath(wanted.name)
            for source in sources:
                file = folder / source.lstrip("/")
                # A file, perhaps under another name, or one in a folder.
                is_it = wanted.name in (file.name, PurePosixPath(to).name)
                files += [file, file / inside] if is_it else [file / inside]
        files.append(folder / wanted.name)
        return next((one for one in files if os.path.isfile(one)), None)  # noqa: PTH113 - any name

    def _find(self, name: str) -> Path | None:
        return next((path for folder in self.folders if (path := folder / name).is_file()), None)

    @cached_property
    def samples(self) -> list[Sample]:
        """Requests that lie beside the program."""
        if self.program is None:
            return []
        types = () if self.inspection.phase else self.inspection.types
        return samples_beside(Path(self.program.root), types)

    def lacks(self, need: Need) -> str:
        """Why a rule cannot be looked at; "" if it can."""
        if need in ("start", "server", "process", "samples"):
            return self._lacks_server(need)
        if self.folder is None:
            return "a server is checked, and not its files"
        return self._lacks_file(need)

    def _lacks_file(self, need: Need) -> str:
        if need in ("program", "import") and self.program is None:
            return "there is no program"
        if need == "import" and self.inspection.phase:
            return _UNSERVABLE
        if need == "requirements" and self.requirements is None:
            return self._lacks_named(_REQUIREMENTS)
        if need in ("dockerfile", "image"):
            if self.dockerfile is None:
                return self._lacks_named(_DOCKERFILE)
            if need == "image" and not self.image.is_known:
                return f"the {_DOCKERFILE} cannot be read"
        return ""

    def _lacks_named(self, name: str) -> str:
        for folder in self.folders:
            if (folder / name).is_dir():
                return f"{self.label(folder / name)} is a folder, and not a file"
        return f"there is no {name}"

    def _lacks_server(self, need: Need) -> str:
        if need == "start" and self.start_problem:
            return ""
        if self.probe is None:
            return self.server_problem
        if need in ("start", "process") and self.probe.server is None:
            return "the server runs elsewhere: it is neither started nor stopped"
        if need == "samples" and not self.samples:
            return "there is no request.json, request.csv ... beside the program"
        return ""

    def fail_to_start(self, problem: str) -> None:
        """Note what a server has logged that did not start."""
        self.start_problem = problem
        self.server_problem = "the server has not started"

    def label(self, path: Path | str) -> str:
        """A path as messages write it."""
        try:
            return str(Path(path).absolute().relative_to(Path.cwd()))
        except ValueError:
            return str(path)
