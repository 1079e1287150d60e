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

``X | None`` is X or, for JSON's null, None. ``Annotated`` adds what msgspec or pydantic know. Forms
are converted like the dict of their parts; where the annotation asks for something other than text,
text is read as that. ``{"instances": ...}`` counts as its value where the annotation has no place
for the whole object.

Input that does not fit is answered with 422 and a message that names the field. A hint is read
once, when the program is assembled; one that cannot be evaluated, or that no body can become, is
refused then. Libraries are recognised by the annotation and never imported for the purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._inference.annotations.arrays import (
    as_array,
    as_tensor,
    sparse_converter,
)
from sagemaker_inference._inference.annotations.hints import (
    core,
    is_array_class,
    is_raw_type,
    library_of,
    mentions_pydantic,
)
from sagemaker_inference._inference.annotations.tables import as_frame, checked, is_json
from sagemaker_inference._inference.annotations.validation import (
    msgspec_converter,
    pydantic_converter,
)
from sagemaker_inference.codecs import _charset

if TYPE_CHECKING:
    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body


def is_raw(hint: Any) -> bool:
    """Whether a handler with this annotation reads bodies of any type itself."""
    return is_raw_type(core(hint)[0])


def converter_for(hint: Any) -> Convert | None:
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
    kind, may_be_none = core(hint)
    if kind is None or kind in (type(None), Any, object):
        return None
    convert = _RAW[kind] if is_raw_type(kind) else _of_class(kind)
    if convert is None or kind in (dict, list):
        validate = pydantic_converter(hint) if mentions_pydantic(hint, {}) else None
        if validate is not None or convert is None:
            return validate or msgspec_converter(hint)
    return _or_none(convert) if may_be_none else convert


def item_hint(hint: Any) -> Any:
    """What each input of a batch is annotated with: ``list[X]`` asks for X."""
    if isinstance(hint, str):
        return hint
    arguments = get_args(hint)
    return arguments[0] if get_origin(hint) is list and arguments else None


def _of_class(hint: Any) -> Convert | None:
    """What a class that neither msgspec nor pydantic knows asks for."""
    library = library_of(hint)
    name = getattr(hint, "__name__", "")
    if hint in (dict, list) or (library, name) == ("pyarrow", "Table"):
        return checked(hint)
    if is_array_class(hint):
        return as_array
    if (library, name) == ("pandas", "DataFrame"):
        return as_frame
    if (library, name) == ("torch", "Tensor"):
        return as_tensor
    return sparse_converter(hint) if library == "scipy" else None


def _or_none(convert: Convert) -> Convert:
    """What ``X | None`` stands for: JSON's null is None."""

    def convert_or_none(body: Body, content_type: str, /, decode: Decode) -> Any:
        if is_json(content_type) and _charset.utf8(body, content_type).strip() == b"null":
            return None
        return convert(body, content_type, decode=decode)

    return convert_or_none


def as_bytes(body: Body, _content_type: str = "", /, decode: Decode | None = None) -> bytes:
    """The body as bytes, copied unless it is that already."""
    del decode
    return body if isinstance(body, bytes) else bytes(body)


def _as_bytearray(body: Body, _content_type: str, /, decode: Decode) -> bytearray:
    del decode
    return bytearray(body)


def _as_view(body: Body, _content_type: str, /, decode: Decode) -> memoryview:
    del decode
    return memoryview(body)


def _as_text(body: Body, content_type: str, /, decode: Decode) -> str:
    del decode
    return _charset.text(body, content_type)


_RAW: Final[dict[Any, Convert]] = {
    bytes: as_bytes,
    bytearray: _as_bytearray,
    memoryview: _as_view,
    str: _as_text,
}
