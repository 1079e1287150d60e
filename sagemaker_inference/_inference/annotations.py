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
a pydantic model or dataclass, and  validated by pydantic
``list[...]`` and the like of them
``list[float]``, a dataclass,       validated by msgspec (extra ``types``), from JSON without
a TypedDict, a msgspec.Struct, ...  a detour; fields may be ``numpy.ndarray``
==================================  ========================================================

``X | None`` is X or, of JSON's null, None. ``Annotated`` adds what msgspec or pydantic know. Forms
are converted like the dict of their parts; where the annotation wants other than text, text is
read as that. ``{"instances": ...}`` counts as its value where the annotation has no place for the
whole.

What does not fit is answered with 422 and a message that names the field. A hint is read once,
when the program is assembled, and one that cannot be evaluated or that nothing here can make of a
body is refused then; libraries are recognised by the annotation and never imported for the purpose.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import types
from collections.abc import Sequence
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Protocol,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import orjson

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._budget import check_unpacked
from sagemaker_inference._errors import DecodeError, RegistrationError, UnprocessableInputError
from sagemaker_inference.codecs import _charset

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference.codecs import Body


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


_LISTS: Final = (list, tuple, set, frozenset, Sequence)
# What JSON gives, for abstract classes such as Iterable and Number.
_PLAIN_VALUES: Final[tuple[Any, ...]] = ([], {}, "", 0, 0.0, True)


def is_raw(hint: Any) -> bool:
    """Whether a handler so annotated takes bodies of any type, for it reads them itself."""
    return _raw(_core(hint)[0]) is not None


def find(hint: Any) -> Convert | None:
    """What an annotation asks for; None where any data will do.

    Raises:
        RegistrationError: it cannot be evaluated, nothing here makes it of a body, or a library
            that it needs is not installed.
    """
    if isinstance(hint, str):
        message = (
            f"the annotation {hint!r} cannot be evaluated. Define what it names at the top of the "
            "module, and import it without TYPE_CHECKING."
        )
        raise RegistrationError(message)
    core, may_be_none = _core(hint)
    if core is None or core in (type(None), Any, object):
        return None
    found = _raw(core) or _of_class(core)
    if found is None or core in (dict, list):
        read = _as_pydantic(hint) if _mentions_pydantic(hint, {}) else None
        if read is not None or found is None:
            return read or _as_msgspec(hint)
    return _or_none(found) if may_be_none else found


def _core(hint: Any) -> tuple[Any, bool]:
    """What is left of an annotation without Annotated and None, and whether None was in it."""
    hint = _bare(hint)
    if get_origin(hint) in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not type(None)]
        if len(members) == 1 or all(map(_raw, members)):
            return _bare(members[0]), len(members) < len(get_args(hint))
    return hint, False


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _raw(hint: Any) -> Convert | None:
    return _RAW.get(hint) if isinstance(hint, type) else None


def _of_class(hint: Any) -> Convert | None:
    """What a class that neither msgspec nor pydantic knows asks for."""
    library = _library(hint)
    name = getattr(hint, "__name__", "")
    if hint in (dict, list) or (library, name) == ("pyarrow", "Table"):
        return _checked(hint)
    if (library, name) == ("numpy", "ndarray") or _is_array_alias(hint):
        return _as_array
    if (library, name) == ("pandas", "DataFrame"):
        return _as_frame
    if (library, name) == ("torch", "Tensor"):
        return _as_tensor
    return _as_sparse(hint) if library == "scipy" else None


def _mentions_pydantic(hint: Any, seen: dict[int, Any]) -> bool:
    """Whether pydantic has to read it: a class of pydantic's is anywhere in it."""
    if id(hint) in seen or "pydantic" not in sys.modules:
        return False
    seen[id(hint)] = hint
    if hasattr(hint, "__pydantic_validator__") or _library(hint) == "pydantic":
        return True
    if get_origin(hint) is Annotated:
        words = {_library(type(word)) for word in hint.__metadata__}
        if words & {"pydantic", "annotated_types"}:
            return True
    parts = get_args(hint)
    # The latter are TypedDicts, of typing and of typing_extensions.
    if dataclasses.is_dataclass(hint) or hasattr(hint, "__required_keys__"):
        parts = tuple(_fields(hint).values())
    return any(_mentions_pydantic(part, seen) for part in parts)


def _library(kind: Any) -> str:
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def _fields(kind: Any) -> dict[str, Any]:
    """The annotations of a class; none of what is no class, or where one cannot be evaluated."""
    try:
        return get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - evaluating an annotation may raise anything
        return {}


def _names_of_lists(hint: Any) -> set[str]:
    """The fields that a form may have several values of."""
    fields = {name: _core(kind)[0] for name, kind in _fields(_core(hint)[0]).items()}
    return {name for name, kind in fields.items() if (get_origin(kind) or kind) in _LISTS}


def _with_lists(data: Any, names: set[str], content_type: str) -> Any:
    """A form's dict, in which a list of one value is a list, too."""
    if type(data) is not dict or not content_types.is_form(content_type):
        return data
    return {
        name: [value] if name in names and isinstance(value, (str, bytes)) else value
        for name, value in data.items()
    }


def item_hint(hint: Any) -> Any:
    """What each input of a batch is annotated with: ``list[X]`` asks for X."""
    if isinstance(hint, str):
        return hint
    arguments = get_args(hint)
    return arguments[0] if get_origin(hint) is list and arguments else None


def as_numbers(data: Any, body_size: int = 0) -> Any:
    """An array of numbers or booleans.

    Args:
        data: what a format gave.
        body_size: the bytes it was read from.

    Raises:
        PayloadTooLargeError: it is sparse, and far larger than what was sent.
        UnprocessableInputError: it has text, objects or rows of different lengths in it.
    """
    import numpy as np

    try:
        if hasattr(data, "toarray"):  # scipy's sparse classes
            size = math.prod(data.shape) * data.dtype.itemsize
            check_unpacked(size, body_size, "sparse")
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
    is_table = kind == "ndarray"
    rows = data.tolist() if is_table else data
    lengths = [len(row) if isinstance(row, list) else -1 for row in rows]
    found = ""
    for index, row in enumerate(rows):
        if lengths[index] != lengths[0]:
            return f"An array of numbers is wanted, and row {index + 1} is of another length."
        for place, value in enumerate(row if isinstance(row, list) else [row]):
            if not isinstance(value, (int, float, complex, list)):
                where = f"row {index + 1}, column {place + 1}"
                told = f"A number is wanted in {where}, not {type(value).__name__} {value!r:.40}."
                if not (is_table and _reads_as_number(value)):
                    return told
                found = found or told
    if found:
        return found
    return (
        "An array of numbers is wanted; the body is nested unevenly, or has numbers too large, or "
        "other values inside."
    )


def _reads_as_number(value: object) -> bool:
    """Whether it is text only because CSV has one kind for a column, and another cell is text."""
    try:
        float(value if isinstance(value, str) else "text")
    except ValueError:
        return False
    return True


def _as_array(body: Body, content_type: str, decode: Decode) -> Any:
    return as_numbers(decode(body, content_type), len(body))


def _or_none(convert: Convert) -> Convert:
    """What ``X | None`` stands for: JSON's null is None."""

    def convert_or_none(body: Body, content_type: str, decode: Decode) -> Any:
        if _is_json(content_type) and _charset.utf8(body, content_type).strip() == b"null":
            return None
        return convert(body, content_type, decode)

    return convert_or_none


def _is_json(content_type: str) -> bool:
    return content_types.parse(content_type).name == content_types.JSON


def _checked(kind: type) -> Convert:
    def convert(body: Body, content_type: str, decode: Decode) -> Any:
        data = decode(body, content_type)
        if kind is dict and not isinstance(data, dict) and _is_json(content_type):
            from sagemaker_inference.codecs import json

            # {"instances": ...} came without its key, for who asks for no dict.
            data = json.loads(_charset.utf8(body, content_type))
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
    array = _as_array(body, content_type, decode)
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
        return _csv_frame(body, content_type)
    data = decode(body, content_type)
    if hasattr(data, "to_pandas"):  # an Arrow table
        return data.to_pandas()
    if hasattr(data, "toarray"):  # scipy's sparse classes
        data = as_numbers(data, len(body))
    try:
        if data is not None:
            return pandas.DataFrame(data)
    except (ValueError, TypeError):
        pass
    message = "The body makes no table; send rows, records, or an object of columns."
    raise UnprocessableInputError(message)


def _csv_frame(body: Body, content_type: str) -> Any:
    """CSV as a table; where a header row was left out of the data, it names the columns."""
    from sagemaker_inference.codecs import csv

    names, columns = csv.with_names(body, content_type)
    frame = sys.modules["pandas"].DataFrame(dict(enumerate(columns))).infer_objects()
    if names is not None:
        frame.columns = names
    return frame


def _as_sparse(hint: Any) -> Convert:
    def convert(body: Body, content_type: str, decode: Decode) -> Any:
        data = decode(body, content_type)
        sparse = sys.modules["scipy.sparse"]
        if not sparse.issparse(data):
            array = as_numbers(data)
            try:
                data = sparse.csr_matrix(array)
            except (ValueError, TypeError, NotImplementedError):
                message = (
                    "A matrix is wanted, and the body is an array of "
                    f"{array.ndim} dimensions and dtype {array.dtype.name}."
                )
                raise UnprocessableInputError(message) from None
        if isinstance(data, hint):
            return data
        # The abstract bases stand for any of their classes.
        return sparse.csr_array(data) if hint is sparse.sparray else hint(data)

    return convert


def _plain(data: Any) -> Any:
    if type(data) is dict:  # a form's, whose parts may be arrays
        return {name: _listed(value) for name, value in data.items()}
    return _listed(data)


def _listed(data: Any) -> Any:
    if hasattr(data, "to_pylist"):  # an Arrow table: records
        return data.to_pylist()
    return data.tolist() if hasattr(data, "tolist") else data


def _as_pydantic(hint: Any) -> Convert | None:
    """None where pydantic has no schema for it: of arrays among the fields, for example."""
    pydantic: Any = sys.modules["pydantic"]
    try:
        adapter = pydantic.TypeAdapter(hint)
    except Exception:  # noqa: BLE001 - pydantic calls what the classes bring along
        return None
    read = _or_instances(adapter.validate_json, pydantic.ValidationError)
    lists = _names_of_lists(hint)

    def convert(body: Body, content_type: str, decode: Decode) -> Any:
        try:
            if _is_json(content_type):
                return read(bytes(_charset.utf8(body, content_type)))
            data = _with_lists(decode(body, content_type), lists, content_type)
            return adapter.validate_python(_plain(data))
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] == "json_invalid":
                message = f"Invalid JSON: {first['msg'].removeprefix('Invalid JSON: ')[:200]}"
                raise DecodeError(message) from None
            field = ".".join(str(part) for part in first["loc"]) or "the body"
            message = f"{field[:100]}: {first['msg'][:200]}"
            raise UnprocessableInputError(message) from None

    return convert


def _or_instances(read: Callable[[bytes], Any], invalid: type[Exception]) -> Callable[[bytes], Any]:
    """Read JSON, or the value of ``{"instances": ...}``, which `codecs.json` unwraps, too."""

    def read_either(text: bytes) -> Any:
        try:
            return read(text)
        except invalid:
            try:
                found = orjson.loads(text)
            except orjson.JSONDecodeError:
                found = None
            if not isinstance(found, dict) or list(found) != ["instances"]:
                raise
        return read(orjson.dumps(found["instances"]))

    return read_either


def _as_msgspec(hint: Any) -> Convert:
    try:
        import msgspec
    except ImportError:
        message = (
            f"the annotation {hint!r} needs msgspec to check what clients send. "
            "Install it with: pip install 'sagemaker-inference[types]'"
        )
        raise RegistrationError(message) from None
    try:
        decoder: Any = msgspec.json.Decoder(hint, dec_hook=_as_field)
        unknown = _unknown(msgspec.inspect.type_info(hint), set())
    except Exception as error:  # noqa: BLE001 - evaluating what fields are annotated with
        message = f"the annotation {hint!r} is none that bodies can be read as: {error}"
        raise RegistrationError(message) from None
    if unknown is not None:
        message = (
            f"the annotation {hint!r} asks for {unknown.__module__}.{unknown.__qualname__}, which "
            "nothing here makes of a body. Annotate it with a type that docs/handlers.md lists, or "
            "register a decoder."
        )
        raise RegistrationError(message)
    read = _or_instances(decoder.decode, msgspec.ValidationError)
    lists = _names_of_lists(hint)

    def convert(body: Body, content_type: str, decode: Decode) -> Any:
        try:
            if _is_json(content_type):
                return read(bytes(_charset.utf8(body, content_type)))
            data = _with_lists(decode(body, content_type), lists, content_type)
            # What forms have is text, whatever it stands for.
            strict = not content_types.is_form(content_type)
            if type(data) is dict:  # a form's: its arrays may be wanted as they are
                with contextlib.suppress(msgspec.ValidationError):
                    return msgspec.convert(data, hint, strict=strict, dec_hook=_as_field)
            return msgspec.convert(_plain(data), hint, strict=strict, dec_hook=_as_field)
        except msgspec.ValidationError as error:
            message = str(error).replace("`", "")[:300]
            raise UnprocessableInputError(message) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"Invalid JSON: {str(error)[:200]}"
            raise DecodeError(message) from None

    return convert


def _as_field(kind: Any, value: Any) -> Any:
    """A field that msgspec knows no type of: an array of numbers, or what it is already."""
    if not _is_array(kind):
        return value
    try:
        return as_numbers(value)
    except UnprocessableInputError as error:
        # msgspec adds the field's place to this one.
        raise ValueError(error.message) from None


def _is_array(kind: Any) -> bool:
    return _of_class(kind) is _as_array


def _unknown(info: Any, seen: set[int]) -> Any:
    """The first class that a value must have in it, and that neither msgspec nor we make.

    Args:
        info: what msgspec says of a type; it has all parts of it, and each once.
        seen: the parts that were looked at.
    """
    if isinstance(info, (list, tuple)):
        return next(filter(None, (_unknown(part, seen) for part in info)), None)
    is_optional = not getattr(info, "required", True) or type(info).__name__ == "UnionType"
    if id(info) in seen or is_optional or not hasattr(info, "__struct_fields__"):
        return None
    seen.add(id(info))
    if type(info).__name__ == "CustomType":
        known = _is_array(info.cls) or any(isinstance(value, info.cls) for value in _PLAIN_VALUES)
        return None if known else info.cls
    return _unknown([getattr(info, name) for name in info.__struct_fields__], seen)
