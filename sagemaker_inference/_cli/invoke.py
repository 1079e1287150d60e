"""``sagemaker-inference invoke``."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._cli import _endpoint
from sagemaker_inference._cli._command import Command, CommandError, OutputFile
from sagemaker_inference._cli._endpoint import check_model_dir, checked_headers, checked_program
from sagemaker_inference._cli._urls import is_url
from sagemaker_inference._http.context import CUSTOM_ATTRIBUTES
from sagemaker_inference._os.standard_streams import reserved_output
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference.testing import Reply
from sagemaker_inference.testing._form import Part, file_part, multipart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagemaker_inference._cli._endpoint import Arriving, Endpoint
    from sagemaker_inference.testing import Stream, TestClient

_STDIN: Final = "-"
# A target of HTTP.
_PATH: Final = re.compile(r"/[!-~]*")
# A name, whether its value is a file, the value, and its type.
_FORM_PART: Final = re.compile(r"([^=]+)=(@?)(.*?)(?:;type=([^;]+))?", re.DOTALL)


def _checked_path(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if not _PATH.fullmatch(text):
        message = f"{text!r} is not a path of a URL: write it as in --path /v1/chat/completions"
        raise click.UsageError(message)
    return text


@click.command(
    cls=Command,
    name="invoke",
    short_help="Send one request to a program or a server.",
    examples=[
        "invoke inference.py request.csv",
        "invoke inference.py request.json --accept text/csv",
        "invoke http://127.0.0.1:8080 image.png --output prediction.npy",
        "invoke inference.py - --content-type application/json < request.json",
        "invoke inference.py chat.json --path /v1/chat/completions",
        "invoke inference.py --form size=64 --form picture=@image.png",
    ],
)
@click.argument("program", callback=checked_program)
@click.argument("data", metavar="[DATA]", default="")
@click.option(
    "-F",
    "--form",
    "form",
    multiple=True,
    metavar="NAME=VALUE",
    help="A field of a form in place of DATA; NAME=@FILE is a file. ;type=TYPE names its type.",
)
@click.option("--content-type", metavar="TYPE", help="By default, what the name of DATA says.")
@click.option("--accept", metavar="TYPE", help="What to answer with.")
@click.option(
    "--path",
    "at",
    metavar="PATH",
    default=INVOCATIONS,
    show_default=True,
    callback=_checked_path,
    help="Another path of the program.",
)
@click.option("--custom-attributes", metavar="TEXT", help="SageMaker's CustomAttributes.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Another one.")
@click.option("-i", "--include", is_flag=True, help="Show the status and the headers, too.")
@click.option("-o", "--output", type=OutputFile(), metavar="FILE", help="Write the body there.")
@click.option("--model-dir", metavar="DIR", help="The folder of the model.")
def command(  # noqa: PLR0913 - a request has as many parts
    program: str,
    data: str,
    *,
    form: Sequence[str],
    content_type: str | None,
    accept: str | None,
    at: str,
    custom_attributes: str | None,
    headers: Sequence[str],
    include: bool,
    output: Path | None,
    model_dir: str | None,
) -> int:
    """Send DATA, a file, to PROGRAM, a file or the URL of a server; show what comes back.

    Without DATA it is the file request.* beside the program; `-` reads the standard input. Each
    --form is a part of a multipart form, which is sent in place of it.

    On a terminal, JSON, tables and arrays are shown as such; a pipe gets the bytes of the response.
    The items of a stream are shown as they come, and Ctrl-C ends one.

    The exit code is 1 where the status is 400 or above, or a stream breaks off. A program's
    traceback is in the log, on the standard error.
    """
    check_model_dir(program, model_dir)
    more = [_header(text) for text in headers]
    # An empty one takes the header away, as for curl.
    of_headers = (text for name, text in more if name.lower() == "content-type")
    read, content_type = _body(program, data, form, content_type or next(of_headers, None))
    named = [
        ("Content-Type", content_type),
        ("Accept", accept),
        (CUSTOM_ATTRIBUTES, custom_attributes),
    ]
    sent = checked_headers([*named, *more])
    # Last, since somebody may have to type it.
    body = read()
    kept: list[bytes] = []
    broken: CommandError | None = None
    with reserved_output() as stdout:
        with (
            client_of(program, model_dir) as client,
            client.stream(body, None, headers=sent, path=at) as response,
        ):
            if include:
                click.echo(_head(response), file=stdout)
            comes = output is None and _is_shown_as_it_comes(response, stdout)
            part = b""
            try:
                for part in _parts(response):
                    if comes:
                        click.echo(part, nl=False, file=stdout)
                    else:
                        kept.append(part)
            except CommandError as error:
                broken = error
            if comes and stdout.isatty() and not part.endswith(b"\n"):
                click.echo(file=stdout)
        if output is None and not comes:
            _show(Reply(response.status_code, response.headers.items(), b"".join(kept)), stdout)
    if output is not None:
        # Not before: it may be /dev/stdout.
        output.write_bytes(b"".join(kept))
    if broken is not None:
        raise broken
    return int(response.status_code >= HTTPStatus.BAD_REQUEST)


def _parts(response: Stream | Arriving) -> Iterator[bytes]:
    """The body as it comes.

    Raises:
        CommandError: it breaks off.
    """
    try:
        yield from response
    except (GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException:  # noqa: BLE001 - a handler may raise anything
        message = "the stream broke off; the log says why"
        raise CommandError(message) from None


def _is_shown_as_it_comes(response: Stream | Arriving, stdout: TextIO) -> bool:
    """Whether nothing is to be made of the response as a whole."""
    if not stdout.isatty():
        return True
    from sagemaker_inference._cli import _pretty

    is_stream = response.headers.get("content-length") is None
    return is_stream and _pretty.is_text(content_types.parse(response.content_type).name)


def _data(program: str, data: str) -> Path | None:
    """The file of the request; None for the standard input."""
    from sagemaker_inference._schemas.request_files import samples_beside

    if data == _STDIN:
        return None
    if data:
        if not Path(data).is_file():
            message = f"there is no file {data}"
            raise click.UsageError(message)
        return Path(data)
    folder = Path() if is_url(program) else Path(program).parent
    samples = samples_beside(folder, ())
    if not samples:
        message = f"there is no request.json, request.csv ... in {folder.resolve()}: name a file."
        raise click.UsageError(message)
    return samples[0].path


def _type_of(path: Path | None) -> str:
    from sagemaker_inference._schemas.request_files import type_of

    found = type_of(path) if path else ""
    if not found:
        message = f"{path or 'the standard input'} has no known type: pass --content-type."
        raise click.UsageError(message)
    return found


def _body(
    program: str, data: str, form: Sequence[str], content_type: str | None
) -> tuple[Callable[[], bytes], str]:
    """What reads the body of the request, and its Content-Type.

    Args:
        program: the program's file, or the URL of a server.
        data: the argument; "" for none.
        form: the parts of a form.
        content_type: the type that an option or a header names.

    Raises:
        UsageError: there is no such file or part, its type is not known, or there is more than one
            body.
    """
    if not form:
        path = _data(program, data)
        read = sys.stdin.buffer.read if path is None else path.read_bytes
        return read, _type_of(path) if content_type is None else content_type
    message = ""
    if data:
        message = f"a form has its own body: leave out {data}, or send it as --form NAME=@{data}"
    elif content_type:
        message = f"a form is {content_types.MULTIPART}: leave out the Content-Type {content_type}"
    if message:
        raise click.UsageError(message)
    body, form_type = multipart(map(_part, form))
    return lambda: body, form_type


def _part(text: str) -> Part:
    """The part of a form that an option stands for, as those of curl do."""
    match = _FORM_PART.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a part of a form. Write it as in: --form name=value"
        raise click.UsageError(message)
    name, at, value, content_type = match.groups()
    if not at:
        return Part(name, value.encode(), None, content_type or "")
    path = Path(value)
    if not path.is_file():
        message = f"there is no file {value}"
        raise click.UsageError(message)
    return file_part(name, (path.name, path, content_type))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        message = f"{text!r} is not a header. Write it as in: -H 'X-Name: value'"
        raise click.UsageError(message)
    return name.strip(), value.strip()


@contextmanager
def client_of(program: str, model_dir: str | None) -> Iterator[Endpoint | TestClient]:
    """A client of a program, which runs in this process, or of a server.

    Args:
        program: the program's file, or the URL of a server.
        model_dir: the folder of the model; None leaves it to the program.
    """
    if is_url(program):
        endpoint = _endpoint.Endpoint(program)
        try:
            yield endpoint
        finally:
            endpoint.close()
        return
    from sagemaker_inference.testing import TestClient

    with TestClient(program, model_dir=model_dir) as client:
        yield client


def _head(reply: Stream | Arriving) -> str:
    try:
        reason = HTTPStatus(reply.status_code).phrase
    except ValueError:
        reason = ""
    lines = [f"{reply.status_code} {reason}".rstrip()]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in reply.headers.items()), ""])


def _show(reply: Reply, stdout: TextIO) -> None:
    from sagemaker_inference._cli import _pretty

    shown: Any = _pretty.shown(reply)
    if isinstance(shown, str):
        click.echo(shown, file=stdout)
    else:
        from sagemaker_inference._cli._command import needed

        needed("rich.console").Console(file=stdout).print(shown)
