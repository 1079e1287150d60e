"""Type hints choose the input: convert a body to the annotation of a handler's parameter.

==================================  ========================================================
annotation                          what the handler gets
==================================  ========================================================
none, ``Any``, ``object``           what the format decodes to (a decoder: bytes)
``bytes``, ``bytearray``            the raw body
``memoryview``                      the raw body, without a copy
``str``                             the body as text, decoded by its charset
``numpy.ndarray``                   an array of numbers or booleans, never of objects
``pandas.DataFrame``                columns named by header row or keys of records, else 0, 1, ...
a class of ``scipy.sparse``         an instance of that class, two-dimensional
``torch.Tensor``                    a tensor with the dtype of the array, but fractions of text
                                    formats in torch's default dtype; ``Annotated[torch.Tensor,
                                    torch.float64]`` names another dtype, ``torch.device("cuda")``
                                    where it is
``PIL.Image.Image``, a list of it   an image, of JPEG, PNG, WebP, an array of pixels, or base64
                                    in JSON
`Upload`, ``pathlib.Path``, lists   the body, or the parts of a form, as files
``dict``, ``list``                  a dict, a list
``pyarrow.Table``                   a table, from Parquet and Arrow
a pydantic model or dataclass, and  an instance, validated by pydantic
``list[...]`` etc. of them
``list[float]``, a dataclass,       an instance, validated by msgspec (extra ``types``), from JSON
a TypedDict, a msgspec.Struct, ...  directly; fields may be ``numpy.ndarray``
==================================  ========================================================

``X | None`` is X, or None for JSON's null. ``Annotated`` adds constraints of msgspec or pydantic;
those that nothing would check are refused.
Forms are converted as the dict of their parts; their texts are parsed as the annotation requires.
``{"instances": ...}`` is unwrapped if the annotation matches the value rather than the object.

Input that does not fit is answered with 422 and a message that names the field. Annotations are
read once, when the program is assembled, which rejects those that cannot be evaluated and types
that no body can be converted to. Libraries are recognized by the annotation and never imported.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._inference.annotations.arrays import (
    as_array,
    as_tensor,
    sparse_converter,
)
from sagemaker_inference._inference.annotations.by_msgspec import msgspec_converter
from sagemaker_inference._inference.annotations.by_pydantic import pydantic_converter
from sagemaker_inference._inference.annotations.files import (
    FileConverter,
    file_class_of,
    is_file_class,
)
from sagemaker_inference._inference.annotations.hints import (
    core,
    has_fields,
    is_array_class,
    is_of_library,
    is_raw_type,
    is_typed_dict,
    library_of,
    mentions_pydantic,
    of_torch,
    with_lists,
)
from sagemaker_inference._inference.annotations.json_bodies import is_json
from sagemaker_inference._inference.annotations.limits import (
    MSGSPEC,
    PYDANTIC,
    limits_of,
    refuse_unchecked,
    with_limits,
)
from sagemaker_inference._inference.annotations.rows import by_rows
from sagemaker_inference._inference.annotations.tables import as_frame, checked
from sagemaker_inference.codecs import _charset

if TYPE_CHECKING:
    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body


def is_raw(hint: Any) -> bool:
    """Whether a handler with this annotation takes raw bodies of any content type."""
    return is_raw_type(core(hint)[0])


def has_no_rows(hint: Any) -> bool:
    """Whether an annotation is of single values, which cannot be stacked as rows are."""
    kind = core(hint)[0]
    is_dict = (get_origin(kind) or kind) is dict or is_typed_dict(kind)
    # A class of the program may hold rows.
    is_record = has_fields(kind) and not hasattr(kind, "__len__")
    return is_raw_type(kind) or is_file_class(kind) or is_dict or is_record


def converter_for(hint: Any) -> Convert | None:
    """The function that converts bodies to an annotation; None if any data matches it.

    Raises:
        RegistrationError: it cannot be evaluated, no body can be converted to it, a library that
            it needs is not installed, or it has a limit that nothing would check.
    """
    if isinstance(hint, str):
        message = (
            f"the annotation {hint!r} cannot be evaluated. Define or import what it names at the "
            "top of the module, outside of TYPE_CHECKING."
        )
        raise RegistrationError(message)
    hint = with_lists(hint)
    kind, may_be_none = core(hint)
    if kind is None or kind in (type(None), Any, object):
        refuse_unchecked(hint)
        return None
    convert = _RAW[kind] if is_raw_type(kind) else _of_class(kind, hint)
    if convert is as_tensor:
        named = of_torch(hint, "dtype"), of_torch(hint, "device")
        convert = partial(as_tensor, dtype_of_hint=named[0], device=named[1])
    if convert is None or kind in (dict, list):
        validate = pydantic_converter(hint) if mentions_pydantic(hint, {}) else None
        if validate is not None:
            refuse_unchecked(hint, PYDANTIC)
            return by_rows(validate, hint)
        if convert is None or MSGSPEC in limits_of(hint):
            validate = msgspec_converter(hint)
            refuse_unchecked(hint, MSGSPEC)
            return validate
    if may_be_none and not isinstance(convert, FileConverter):
        convert = _or_none(convert)
    if is_raw_type(kind):
        return with_limits(convert, hint)
    refuse_unchecked(hint)
    return convert


def item_hint(hint: Any) -> Any:
    """The annotation of each input of a batch: X for ``list[X]``."""
    if isinstance(hint, str):
        return hint
    arguments = get_args(hint)
    return arguments[0] if get_origin(hint) is list and arguments else None


def _of_class(hint: Any, annotation: Any) -> Convert | None:
    """The converter for a class that is unknown to both msgspec and pydantic."""
    if file_class_of(annotation) is not None:
        return FileConverter(annotation)
    if hint in (dict, list) or is_of_library(hint, "pyarrow", "Table"):
        return checked(hint)
    if is_array_class(hint):
        return as_array
    if is_of_library(hint, "pandas", "DataFrame"):
        return as_frame
    if is_of_library(hint, "torch", "Tensor"):
        return as_tensor
    return sparse_converter(hint) if library_of(hint) == "scipy" else None


def _or_none(convert: Convert) -> Convert:
    """The converter for ``X | None``: JSON's null becomes None."""

    def convert_or_none(body: Body, content_type: str, /, decode: Decode) -> Any:
        if is_json(content_type) and _charset.utf8(body, content_type).strip() == b"null":
            return None
        return convert(body, content_type, decode=decode)

    return convert_or_none


def as_bytes(body: Body, _content_type: str = "", /, decode: Decode | None = None) -> bytes:
    """The body as bytes, copied unless it already is bytes."""
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
