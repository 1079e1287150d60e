"""Annotations for files: `Upload`, ``pathlib.Path``, ``PIL.Image.Image``, and lists of them.

============  ==========================================================================
of            what becomes a file
============  ==========================================================================
a form        a part whose field is annotated so; all parts, in their order, where the
              annotation is that of the whole input
another body  the body
JSON          a text with base64, where the annotation is that of a field, or a list of
              images
============  ==========================================================================
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import DecodeError, RegistrationError, UnprocessableInputError
from sagemaker_inference._http.uploads import Upload, as_upload
from sagemaker_inference._inference import request_files
from sagemaker_inference._inference.annotations.arrays import as_numbers
from sagemaker_inference._inference.annotations.hints import (
    core,
    fields_of,
    fields_of_form,
    has_fields,
    is_image_class,
    list_of,
    mentions_pydantic,
    value_hint,
)
from sagemaker_inference._inference.annotations.json_bodies import is_json
from sagemaker_inference._inference.annotations.large import decoding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._inference.annotations.protocols import Decode
    from sagemaker_inference.codecs import Body

_PIXELS: Final = {content_types.NPY}
# An array of several images: their number, height, width and channels.
_STACK: Final = 4


def is_file_class(kind: Any) -> bool:
    """Whether it is the class of a file."""
    return kind is Upload or kind is Path or is_image_class(kind)


def file_class_of(hint: Any) -> Any:
    """The class of files that an annotation is of, or a list of; None for others.

    What pydantic adds to paths, as in its ``FilePath``, is about a text.
    """
    kind = core(_item(hint))[0]
    return kind if is_file_class(kind) and not mentions_pydantic(hint, {}) else None


def is_any_body(hint: Any) -> bool:
    """Whether an annotation takes bodies of any content type as files."""
    kind = file_class_of(hint)
    return kind is Upload or kind is Path


def _item(hint: Any) -> Any:
    """The annotation of the items of a list, or the annotation itself."""
    found = list_of(hint)
    return hint if found is None else found[1]


def names_of_files(hint: Any) -> dict[str, Any] | None:
    """The parts of a form that are files, each with its class; None where all parts are.

    Pydantic reads a path as a text, which is the client's: it is no file there.
    """
    if file_class_of(value_hint(hint)) is not None or file_class_of(hint) is not None:
        return None
    is_of_pydantic = mentions_pydantic(hint, {})
    return {
        name: found
        for name, fields in fields_of_form(hint).items()
        for field in fields
        if (found := file_class_of(field)) and not (is_of_pydantic and found is Path)
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _of_part(name: str, value: Any, kind: Any) -> Any:
    try:
        return as_file(kind, value)
    except ValueError as error:
        message = f"{name[:100]}: {error}"
        raise UnprocessableInputError(message) from None


def mentions_files(hint: Any, seen: set[int] | None = None) -> bool:
    """Whether an annotation contains a class of files that a request has to be at hand for."""
    seen = set() if seen is None else seen
    if id(hint) in seen:
        return False
    seen.add(id(hint))
    if hint is Upload or hint is Path:
        return True
    kind = get_origin(hint) or hint
    parts = [*get_args(hint), *(fields_of(kind).values() if has_fields(kind) else ())]
    return any(mentions_files(part, seen) for part in parts)


def as_file(kind: Any, value: Any) -> Any:
    """A value of a form or of JSON as an instance of a class of files.

    Raises:
        ValueError: it is not one.
    """
    if kind is Upload:
        return as_upload(value)
    if kind is Path:
        return request_files.path_of(value)
    try:
        # NPZ has arrays.
        return _image_of(as_numbers(value)) if hasattr(value, "dtype") else _image(as_upload(value))
    except (DecodeError, UnprocessableInputError) as error:
        # msgspec and pydantic add the path of the field to a ValueError.
        raise ValueError(error.message) from None


def _image(upload: Upload) -> Any:
    name = content_types.parse(upload.content_type).name
    codec = codecs.for_content_type(name) if name in _PIXELS else None
    read: Any
    if codec is not None:
        read = codec.decode
    else:
        # With numpy, which the server is not to import before a program does.
        from sagemaker_inference.codecs import image

        read = image.decode
    return _image_of(as_numbers(read(upload.data, upload.content_type)))


def _image_of(array: Any) -> Any:
    """An image of Pillow, of pixels: the format's limits are those of all.

    Raises:
        UnprocessableInputError: they are not those of an image.
    """
    try:
        # Of no pixel, or of one number, Pillow makes something as well, or fails elsewhere.
        return sys.modules["PIL.Image"].fromarray(array if array.ndim and array.size else None)
    except (TypeError, ValueError, AttributeError):
        message = (
            f"Expected an image, but the body is an array of shape {array.shape} and dtype "
            f"{array.dtype.name}; send JPEG, PNG or WebP."
        )
        raise UnprocessableInputError(message) from None


class FileConverter:
    """Converts bodies and forms to files.

    Args:
        hint: an annotation of a class of files, or of a list of one.

    Raises:
        RegistrationError: it is of a set of images, which have no hash.
    """

    def __init__(self, hint: Any) -> None:
        self._may_be_none = core(hint)[1]
        found = list_of(hint)
        self._list = None if found is None else found[0]
        self._kind = core(_item(hint))[0]
        self._is_image = is_image_class(self._kind)
        if self._is_image and self._list in (set, frozenset):
            message = f"images cannot be in a set: annotate it with list in place of {hint!r}"
            raise RegistrationError(message)

    def __call__(self, body: Body, content_type: str, /, decode: Decode) -> Any:
        """Convert a body."""
        if not self._is_image:
            upload = Upload(body, request_files.filename(), content_type)
            files = [as_file(self._kind, upload)]
        else:
            with decoding(body, decode, numbers=True):
                data = decode(body, content_type)
            is_text = is_json(content_type) and _are_texts(data)
            files = self._of_texts(data) if is_text else self._images(data, body)
        return self._of(files)

    def of_parts(self, parts: Sequence[tuple[str, Any]]) -> Any:
        """Convert the parts of a form, in their order.

        Raises:
            UnprocessableInputError: they are more or fewer than one, or not files.
        """
        return self._of([_of_part(name, value, self._kind) for name, value in parts])

    def _of(self, files: list[Any]) -> Any:
        if self._list is not None:
            return self._list(files)
        if not files and self._may_be_none:
            return None
        if len(files) != 1:
            message = f"Expected one file, but there are {len(files)}."
            raise UnprocessableInputError(message)
        return files[0]

    def _of_texts(self, data: Any) -> list[Any]:
        parts = enumerate(_listed(data))
        return [_of_part(str(index), text, self._kind) for index, text in parts]

    def _images(self, data: Any, body: Body) -> list[Any]:
        if data is None and self._may_be_none:
            return []
        array = as_numbers(data, body)
        are_several = array.ndim == _STACK and self._list is not None
        return [_image_of(one) for one in array] if are_several else [_image_of(array)]


def _are_texts(data: Any) -> bool:
    """Whether it is a text, or a list of texts, as JSON has them."""
    is_list = isinstance(data, list) and len(data) > 0
    return isinstance(data, str) or (is_list and all(isinstance(item, str) for item in data))
