"""What each path of a program takes and returns."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
)
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args, get_origin

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import StartError
from sagemaker_inference._http.messages import Request
from sagemaker_inference._inference import request_files
from sagemaker_inference._inference.annotations import converter_for, is_raw, item_hint
from sagemaker_inference._inference.annotations.files import file_class_of, is_any_body
from sagemaker_inference._inference.annotations.hints import core, is_array_class
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference._program.signatures import return_hint
from sagemaker_inference._schemas.forms import form_schema, has_files
from sagemaker_inference._schemas.request_files import samples_beside
from sagemaker_inference._schemas.samples import NoSampleError, sample

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._program.signatures import Handler
    from sagemaker_inference._schemas.hints import Schema, Schemas
    from sagemaker_inference._schemas.request_files import Sample

_IMAGE: Final = "application/x-image"
_STREAMS: Final = (
    Iterator,
    Iterable,
    Generator,
    AsyncIterator,
    AsyncIterable,
    AsyncGenerator,
)
# What tables and arrays have: of numpy, pandas, pyarrow, scipy, torch.
_OF_TABLES: Final = ("dtype", "columns", "column_names")
# What a client may ask a stream of items for.
_STREAM_TYPES: Final = ("application/jsonlines", "text/event-stream", content_types.JSON)


class Operation(NamedTuple):
    """What one path takes and returns.

    Attributes:
        handler: the predictor or transformer.
        schema: of a request in JSON.
        form: of one that is a multipart form.
        requests: a sample of each content type that is read; None where there is none.
        response: the schema of a response in JSON, or of an item of a stream.
        responses: the content types that are written.
        streams: whether the response is a stream of items.
    """

    handler: Handler
    schema: Schema
    form: Schema
    requests: Mapping[str, bytes | None]
    response: Schema
    responses: tuple[str, ...]
    streams: bool


def operation(handler: InferenceHandler, path: str, schemas: Schemas, folder: Path) -> Operation:
    """Describe a path.

    Args:
        handler: the assembled program.
        path: one of its paths.
        schemas: what makes the schemas.
        folder: where files request.* may be, which are the samples then.
    """
    handler = handler.at(path)
    main = handler.predictor or handler.transformer
    assert main is not None  # noqa: S101 - each path has one of the two
    hint = handler.decoders.hint if handler.predictor else main.hints.get("body", bytes)
    streams = main.yields or main.yields_async
    schema = schemas.of(hint)
    named = [item for one in handler.decoders.registered for item in one.content_types]
    own = tuple(named) if handler.predictor else ()
    files = {}
    if path == INVOCATIONS:
        files = {one.content_type: _content(one) for one in samples_beside(folder, own)}
    response: Schema = {}
    responses: tuple[str, ...] = (content_types.ANY,)
    if handler.predictor:
        response = schemas.of(
            _returned(main, are_listed=handler.decoders.are_listed), "serialization"
        )
        responses = _STREAM_TYPES if streams else tuple(handler.writable)
    return Operation(
        handler=main,
        schema=schema,
        form=form_schema(hint, _resolved(schema, schemas)) if has_files(hint) else schema,
        requests=_requests(hint, schema, own, schemas, files),
        response=response,
        responses=responses,
        streams=streams,
    )


def _content(file: Sample) -> bytes:
    body = file.path.read_bytes()
    if file.content_type == content_types.JSON:
        try:
            json.loads(body)
        except ValueError as error:
            message = f"{file.path} is not JSON: {error}. Correct it, or give it another ending."
            raise StartError(message) from None
    return body


def _returned(handler: Handler, *, are_listed: bool) -> Any:
    """The hint of what one response is made of."""
    hint = return_hint(handler.function)
    if are_listed:
        hint = item_hint(hint)
    if get_origin(hint) in _STREAMS:
        return get_args(hint)[0]
    return hint


def _requests(
    hint: Any,
    schema: Schema,
    own: tuple[str, ...],
    schemas: Schemas,
    files: Mapping[str, bytes],
) -> dict[str, bytes | None]:
    # The program's decoders and the files are believed, whatever they may be.
    found: dict[str, bytes | None] = {**dict.fromkeys(own), **files}
    if is_any_body(hint):
        found[content_types.MULTIPART] = None
    if is_raw(hint) or is_any_body(hint):
        return {**found, content_types.ANY: None}
    made = _written(hint, schema, schemas)
    if file_class_of(hint) is not None:
        # Other formats of arrays are not what a client sends.
        made = {name: body for name, body in made.items() if name == content_types.JSON}
    for name, body in made.items():
        if name not in found and _is_read(hint, body, name):
            found[name] = body
    is_object = _resolved(schema, schemas).get("type") == "object"
    # Without a sample that fits nothing can be tried; JSON has what every hint takes.
    is_known = bool(found.keys() & made.keys())
    found.setdefault(content_types.JSON, None)
    for name in codecs.decodable():
        # Images are arrays, and are not written.
        is_image = file_class_of(hint) is not None
        is_pixels = name == _IMAGE and (is_image or is_array_class(core(hint)[0]))
        is_open = is_pixels or not (is_known or is_object)
        is_form = is_object or (is_image and name == content_types.MULTIPART)
        if name not in found and (is_form if content_types.is_form(name) else is_open):
            found[name] = None
    return found


def _resolved(schema: Schema, schemas: Schemas) -> Schema:
    name = schema.get("$ref", "").removeprefix(schemas.prefix)
    return schemas.components.get(name, schema)


def _written(hint: Any, schema: Schema, schemas: Schemas) -> dict[str, bytes]:
    """A sample in each format that can be written; {} where the schema has none."""
    try:
        values = [sample(schema, schemas.components)]
    except NoSampleError:
        return {}
    convert: Any = converter_for(hint)
    reader: Any = codecs.for_content_type(content_types.JSON)
    text = json.dumps(values[0]).encode()
    with contextlib.suppress(Exception):
        made = convert(text, content_types.JSON, decode=reader.decode)
        # Some formats write a table, and not the records that it stands for in JSON. What else may
        # be iterated over need not have an end, such as the addresses of a network.
        if any(hasattr(made, name) for name in _OF_TABLES):
            values.append(made)
    found: dict[str, bytes] = {}
    for value, name in itertools.product(values, codecs.encodable()):
        codec: Any = codecs.for_content_type(name)
        # The format has no place for such a value, or its library is not installed.
        with contextlib.suppress(Exception):
            body = codec.encode(value, name)
            found.setdefault(name, body.encode() if isinstance(body, str) else bytes(body))
    return {name: found[name] for name in codecs.encodable() if name in found}


def _is_read(hint: Any, body: bytes, content_type: str) -> bool:
    """Whether a body is converted to the hint, as it is when it arrives."""
    codec: Any = codecs.for_content_type(content_type)
    convert: Any = converter_for(hint)
    try:
        with request_files.of_sample(Request.from_body(body)):
            convert(body, content_type, decode=codec.decode)
    except Exception:  # noqa: BLE001 - a validator of the program's may raise anything
        return False
    return True


def summary(handler: Handler) -> tuple[str, str]:
    """The name of a handler, and its documentation."""
    function = handler.function
    about = inspect.getdoc(function) if inspect.isroutine(function) else None
    return str(handler).partition(" (")[0], about or ""
