"""The files of a request in progress, on disk where a program asks for paths.

A program whose annotations have no `Upload` and no path pays nothing for this.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import OutOfMemoryError
from sagemaker_inference._http.uploads import Upload, as_upload
from sagemaker_inference._inference.streams import Stream
from sagemaker_inference._log import get_logger
from sagemaker_inference._os import spool
from sagemaker_inference.codecs._filenames import filename_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._inference.inference_handler import Job
    from sagemaker_inference._os.spool import Spool

logger = get_logger()

# Of the client's name, the ending alone is used, as far as it can be one.
_ENDING: Final = re.compile(r"(?:\.tar)?\.[a-z0-9]{1,12}$")
_STEPS_A_FILE: Final = 150
# Types that the standard library does not know, or has another ending for.
_ENDINGS: Final = {
    "audio/flac": ".flac",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "audio/wave": ".wav",
    "audio/x-wav": ".wav",
    "image/jpg": ".jpg",
    "image/webp": ".webp",
    "application/jsonlines": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/x-npy": ".npy",
    "application/x-npz": ".npz",
    "application/x-parquet": ".parquet",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.stream": ".arrows",
    # Which says nothing about what a file is.
    content_types.OCTET_STREAM: "",
}


class RequestFiles:
    """The files of a request.

    Args:
        request: the request.
        folders: where its folder is made, if it needs one.
    """

    def __init__(self, request: Request, folders: Spool) -> None:
        self._request = request
        self._folders = folders
        self._folder: Path | None = None
        self._count = 0
        # Validation reads an input several times.
        self._of_uploads: dict[int, tuple[Upload, Path]] = {}
        self._of_texts: dict[str, Path] = {}
        self._is_refused = False

    @property
    def filename(self) -> str | None:
        """The client's name for the body."""
        header = self._request.headers.find("content-disposition")
        # Servers read headers as ISO 8859-1, and many clients write UTF-8.
        with suppress(UnicodeError):
            header = header.encode("iso-8859-1").decode()
        return filename_of(content_types.parse(header).parameters) or None

    def path_of(self, value: Any) -> Path:
        """A file with the bytes of a part or of a text of JSON, which is written once.

        Raises:
            OutOfMemoryError: there is no room for it.
            PayloadTooLargeError: the files of the request are too many.
            ValueError: it is not a file.
        """
        if isinstance(value, Upload):
            known = self._of_uploads.get(id(value))
            if known is None:
                known = self._of_uploads[id(value)] = (value, self._written(value))
            return known[1]
        # Equal texts are one file only where no program will write to it.
        if self._is_refused and isinstance(value, str) and value in self._of_texts:
            return self._of_texts[value]
        upload = as_upload(value)
        path = self._of_texts[value] = self._written(upload)
        return path

    @contextmanager
    def while_refused(self) -> Iterator[None]:
        """Look for what is wrong with an input: the files that it has are enough."""
        self._is_refused = True
        try:
            yield
        finally:
            self._is_refused = False

    def end_reading(self) -> None:
        """Let go of what was sent."""
        self._of_uploads.clear()
        self._of_texts.clear()

    def _written(self, upload: Upload) -> Path:
        """A new file with the bytes of an upload, whose name is none of the client's."""
        _budget.of(b"").step(_STEPS_A_FILE, "form")
        try:
            if self._folder is None:
                self._folder = self._folders.new_folder()
            self._count += 1
            path = self._folder / f"upload{self._count}{_ending(upload)}"
            spool.write(path, upload.data)
        except OSError as error:
            logger.error(  # noqa: TRY400 - a disk that is full has no traceback to show
                "request %s: its files cannot be written: %s. Make room, or name another folder in "
                "TMPDIR",
                self._request.id,
                error,
            )
            message = "The server has no room for the files of this request."
            raise OutOfMemoryError(message) from None
        return path

    def close(self) -> None:
        """Remove the files."""
        folder, self._folder = self._folder, None
        if folder is not None:
            spool.remove(folder)

    def close_after(self, response: Response | None) -> None:
        """Remove the files when a response is complete, which a stream is not yet."""
        body: Any = None if response is None else response.body
        if isinstance(body, Stream):
            body.on_end(self.close)
        elif response is not None and isinstance(body, Iterator):
            response.body = self._while_read(body)
        else:
            self.close()

    def _while_read(self, body: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from body
        finally:
            self.close()


_current: Final[ContextVar[RequestFiles | None]] = ContextVar("files", default=None)


def begin(request: Request, folders: Spool) -> RequestFiles:
    """Begin to read a request, whose files belong to it until `end`."""
    files = RequestFiles(request, folders)
    _current.set(files)
    return files


def end() -> None:
    """End the reading of a request."""
    files = _current.get()
    if files is not None:
        files.end_reading()
    _current.set(None)


def while_refused() -> AbstractContextManager[None]:
    """Look for what is wrong with the input of the request that is being read, if one is."""
    files = _current.get()
    return nullcontext() if files is None else files.while_refused()


def close(jobs: Sequence[Job]) -> None:
    """Remove the files of requests when they are answered, or given up."""
    for job in jobs:
        if job.files is not None:
            job.files.close_after(job.response)


def path_of(value: Any) -> Path:
    """A file with the bytes of an upload or of a text, there until the request has ended.

    Raises:
        LookupError: no request is being read.
        OutOfMemoryError: there is no room for it.
        PayloadTooLargeError: the files of the request are too many.
        ValueError: it is not a file.
    """
    files = _current.get()
    if files is None:
        message = "a path is there while a request is answered, and none is"
        raise LookupError(message)
    return files.path_of(value)


def filename() -> str | None:
    """The client's name for the body of the request that is being read."""
    files = _current.get()
    return None if files is None else files.filename


@contextmanager
def of_sample(request: Request) -> Iterator[None]:
    """Convert a sample outside of a server."""
    folders = spool.Spool()
    begin(request, folders)
    try:
        yield
    finally:
        end()
        folders.close()


def _ending(upload: Upload) -> str:
    match = _ENDING.search((upload.filename or "").lower())
    return match[0] if match else _usual_ending(content_types.parse(upload.content_type).name)


@cache
def _known_types() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes()


def _usual_ending(content_type: str) -> str:
    known = _ENDINGS.get(content_type)
    return _known_types().guess_extension(content_type) or "" if known is None else known
