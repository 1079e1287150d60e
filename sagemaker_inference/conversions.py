"""Type hints choose the input: from a body to what a handler's parameter is annotated with.

==================================  ========================================================
annotation                          what the handler gets
==================================  ========================================================
none, ``Any``, ``object``           whatever the format gives (a decoder: bytes)
``bytes``, ``bytearray``            the body as it came
``memoryview``                      the same without a copy
``str``                             the body as text, by its charset
``numpy.ndarray``                   an array of numbers or booleans, never of objects
``pandas.DataFrame``                columns by header row or by keys of records, else 0, 1, ...
a class of ``scipy.sparse``         that class, two-dimensional
``torch.Tensor``                    a tensor of the array's dtype
``dict``, ``list``                  just that
``pyarrow.Table``                   just that, from Parquet and Arrow
a pydantic model                    an instance, validated by pydantic
``list[float]``, a dataclass,       validated by msgspec (extra ``types``), from JSON without
a TypedDict, a msgspec.Struct, ...  a detour
==================================  ========================================================

What does not fit is answered with 422 and a message that names the field. A hint is read once,
when the program is assembled; libraries are recognised by the annotation and never imported for
the purpose.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, get_args, get_origin

from sagemaker_inference import content_types
from sagemaker_inference.codecs import _charset
from sagemaker_inference.errors import DecodeError, RegistrationError, UnprocessableInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference.requests import Body


class Decode(Protocol):
    """A built-in format: body and Content-Type in, data out."""

    def __call__(self, body: Body, content_type: str, /) -> Any:
        """Read a body."""


class Convert(Protocol):
    """What an annotation stands for."""

    def __call__(self, body: Body, content_type: str, decode: Decode, /) -> Any:
        """Make of a body what the annotation says; ``decode`` is the format of its type.

        Raises:
            UnprocessableInputError: it was read and does not fit.
        """


def as_text(body: Body, content_type: str) -> str:
    """A body as text, by the charset of its Content-Type; UTF-8 unless named.

    Raises:
        DecodeError: it is no text in that charset.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    return _charset.text(body, content_type)


_RAW: Final[dict[Any, Convert]] = {
    bytes: lambda body, _type, _decode: body if isinstance(body, bytes) else bytes(body),
    bytearray: lambda body, _type, _decode: bytearray(body),
    memoryview: lambda body, _type, _decode: memoryview(body),
    str: lambda body, content_type, _decode: as_text(body, content_type),
}


def is_raw(hint: Any) -> bool:
    """Whether a handler so annotated takes bodies of any type, for it reads them itself."""
    return hint in _RAW


def find(hint: Any) -> Convert | None:  # noqa: PLR0911 - one return for each kind
    """What an annotation asks for; None where any data will do.

    Raises:
        RegistrationError: a library that the annotation needs is not installed.
    """
    if hint in (None, type(None), Any, object) or isinstance(hint, str):
        return None
    if hint in _RAW:
        return _RAW[hint]
    library = getattr(hint, "__module__", "").partition(".")[0]
    name = getattr(hint, "__name__", "")
    if hint in (dict, list) or (library, name) == ("pyarrow", "Table"):
        return _checked(hint)
    if (library, name) == ("numpy", "ndarray") or _is_array_alias(hint):
        return lambda body, content_type, decode: as_numbers(decode(body, content_type))
    if (library, name) == ("pandas", "DataFrame"):
        return _as_frame
    if (library, name) == ("torch", "Tensor"):
        return _as_tensor
    if library == "scipy":
        return _as_sparse(hint)
    if hasattr(hint, "model_validate") and hasattr(hint, "model_fields"):
        return _as_pydantic(hint)
    return _as_msgspec(hint)


def item_hint(hint: Any) -> Any:
    """What each input of a batch is annotated with: ``list[X]`` asks for X."""
    arguments = get_args(hint)
    return arguments[0] if get_origin(hint) is list and arguments else None


def as_numbers(data: Any) -> Any:
    """An array of numbers or booleans.

    Raises:
        UnprocessableInputError: it has text, objects or rows of different lengths in it.
    """
    import numpy as np

    try:
        if hasattr(data, "toarray"):  # scipy's sparse classes
            array = data.toarray()
        elif hasattr(data, "column_names"):  # an Arrow table
            array = np.column_stack([column.to_numpy() for column in data.columns])
        else:
            array = np.asarray(data)
    except (ValueError, TypeError):
        raise UnprocessableInputError(_no_numbers(data)) from None
    if array.dtype.kind not in "biufc":
        raise UnprocessableInputError(_no_numbers(data))
    return array


def _no_numbers(data: Any) -> str:
    kind = type(data).__name__
    if kind not in ("list", "ndarray"):
        return f"An array of numbers is wanted, and the body is of type {kind}."
    rows = data.tolist() if kind == "ndarray" else data
    lengths = [len(row) if isinstance(row, list) else -1 for row in rows]
    for index, row in enumerate(rows):
        if lengths[index] != lengths[0]:
            return f"An array of numbers is wanted, and row {index + 1} is of another length."
        for place, value in enumerate(row if isinstance(row, list) else [row]):
            if not isinstance(value, (int, float, complex, list)):
                where = f"row {index + 1}, column {place + 1}"
                return f"A number is wanted in {where}, not {type(value).__name__} {value!r:.40}."
    return "An array of numbers is wanted; the body is nested unevenly, or has numbers too large."


def _checked(kind: type) -> Convert:
    def convert(body: Body, content_type: str, decode: Decode) -> Any:
        data = decode(body, content_type)
        if kind is list:
            data = _plain(data)
        if not isinstance(data, kind):
            message = f"A {kind.__name__} is wanted, and the body is of type {type(data).__name__}."
            raise UnprocessableInputError(message)
        return data

    return convert


def _is_array_alias(hint: Any) -> bool:
    """Whether it is ``numpy.typing.NDArray[...]``: an alias of either kind, by numpy's version."""
    origin = get_origin(hint)
    named = getattr(origin, "__value__", None)
    origin = get_origin(named) if named is not None else origin
    return (getattr(origin, "__module__", ""), getattr(origin, "__name__", "")) == (
        "numpy",
        "ndarray",
    )


def _as_tensor(body: Body, content_type: str, decode: Decode) -> Any:
    array = as_numbers(decode(body, content_type))
    kind = array.dtype.name
    try:
        # By name: torch takes no other byte order, and only one of numpy's two uint64.
        return sys.modules["torch"].from_numpy(array.astype(kind, order="C"))
    except TypeError:
        message = f"torch has no tensors of {kind}; send other numbers."
        raise UnprocessableInputError(message) from None


def _as_frame(body: Body, content_type: str, decode: Decode) -> Any:
    pandas = sys.modules["pandas"]
    if content_types.parse(content_type).name == content_types.CSV:
        return _csv_frame(body, content_type, decode)
    data = decode(body, content_type)
    if hasattr(data, "to_pandas"):  # an Arrow table
        return data.to_pandas()
    try:
        return pandas.DataFrame(data)
    except (ValueError, TypeError) as error:
        message = f"The body makes no table: {str(error)[:200]}"
        raise UnprocessableInputError(message) from None


def _csv_frame(body: Body, content_type: str, decode: Decode) -> Any:
    """CSV as a table; where a header row was left out of the data, it names the columns."""
    from sagemaker_inference.codecs import csv

    data = decode(body, content_type)
    frame = sys.modules["pandas"].DataFrame(data).infer_objects()
    whole = csv.decode(body, content_type, header=False)
    if len(whole) > len(data):
        frame.columns = [str(name) for name in whole[0]]
    return frame


def _as_sparse(hint: Any) -> Convert:
    def convert(body: Body, content_type: str, decode: Decode) -> Any:
        data = decode(body, content_type)
        sparse = sys.modules["scipy.sparse"]
        if not sparse.issparse(data):
            data = sparse.csr_matrix(as_numbers(data))
        # The abstract bases stand for any of their classes.
        return data if isinstance(data, hint) else hint(data)

    return convert


def _plain(data: Any) -> Any:
    if hasattr(data, "to_pylist"):  # an Arrow table: records
        return data.to_pylist()
    return data.tolist() if hasattr(data, "tolist") else data


def _as_pydantic(hint: Any) -> Convert:
    invalid: Any = sys.modules["pydantic"].ValidationError

    def convert(body: Body, content_type: str, decode: Decode) -> Any:
        try:
            if content_types.parse(content_type).name == content_types.JSON:
                return hint.model_validate_json(bytes(_charset.utf8(body, content_type)))
            return hint.model_validate(_plain(decode(body, content_type)))
        except invalid as error:
            first = error.errors(include_url=False)[0]
            if first["type"] == "json_invalid":
                message = f"Invalid JSON: {first['msg'].removeprefix('Invalid JSON: ')[:200]}"
                raise DecodeError(message) from None
            field = ".".join(str(part) for part in first["loc"]) or "the body"
            message = f"{field[:100]}: {first['msg'][:200]}"
            raise UnprocessableInputError(message) from None

    return convert


def _as_msgspec(hint: Any) -> Convert:
    try:
        import msgspec
    except ImportError:
        message = (
            f"the annotation {hint!r} needs msgspec to check what clients send. "
            "Install it with: pip install 'sagemaker-inference[types]'"
        )
        raise RegistrationError(message) from None
    read: Callable[[Any], Any] = msgspec.json.Decoder(hint).decode

    def convert(body: Body, content_type: str, decode: Decode) -> Any:
        try:
            if content_types.parse(content_type).name == content_types.JSON:
                return read(_charset.utf8(body, content_type))
            return msgspec.convert(_plain(decode(body, content_type)), hint)
        except msgspec.ValidationError as error:
            message = str(error).replace("`", "")[:300]
            raise UnprocessableInputError(message) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"Invalid JSON: {str(error)[:200]}"
            raise DecodeError(message) from None

    return convert
