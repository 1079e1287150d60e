"""JPEG, PNG and WebP images, read only (the extra ``image``).

`decode` returns the pixels as an array of shape (height, width, channels): (h, w, 3) for RGB,
(h, w, 4) with transparency, (h, w) for greyscale. The dtype is uint8, or uint16 for 16-bit
greyscale PNG, or bool for black and white. Palettes are resolved and CMYK is converted to RGB; EXIF
orientation is left to the program. What follows an image is ignored, such as the film of a phone's
motion photo; an image that lacks pixels is refused. So are images of over 64 million pixels, images
of over 64 MiB that are over a hundred times the size of the body, and images that Pillow needs over
224 MiB for: some 55 million pixels, 22 million of a progressive JPEG, 14 million of WebP.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference import _budget
from sagemaker_inference._errors import DecodeError, PayloadTooLargeError
from sagemaker_inference.codecs._extras import needed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

__all__ = ["decode"]

_NAME: Final = "image"
_MAX_PIXELS: Final = 64_000_000
# A JPEG of a fiftieth of its pixels can look good; 34 bytes of WebP can be 64 million pixels.
_TIMES: Final = 100
_PIXEL_BYTES: Final = {"1": 1, "L": 1, "I;16": 2, "RGB": 3}
# What Pillow needs for each pixel beside these: WebP is decoded in three copies, and libjpeg keeps
# the coefficients of all scans.
_WORK_BYTES: Final = {"WEBP": 13, "progressive": 7}
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8"
_START_OF_SCAN: Final = b"\xff\xda"
_MARK, _SCAN = 0xFF, 0xDA
_ALONE: Final = (0x01, *range(0xD0, 0xD9))
_MAX_SEGMENTS: Final = 1 << 18
_STEPS_A_SEGMENT: Final = 10
_PIXELS_A_STEP: Final = 2048
# To open an image.
_STEPS: Final = 100
_FORMATS: Final = ("JPEG", "PNG", "WEBP")
# Pixels copied at a time.
_STRIP: Final = 1 << 16
_ARRAY_MODES: Final = ("RGB", "RGBA", "L", "1", "I;16", "I", "F")
_TRANSPARENT_MODES: Final = ("LA", "PA", "La", "RGBa")
# Raised by Pillow's readers of these formats for invalid images.
_FAILURES: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def decode(body: Body, content_type: str = "") -> NDArray[Any]:  # noqa: ARG001
    """Read an image's pixels.

    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 2)).save(file, "png")
    >>> decode(file.getvalue(), "image/png").shape
    (2, 4, 3)

    Raises:
        DecodeError: the body is not an image of these formats, or a damaged one.
        PayloadTooLargeError: it has over 64 million pixels, or far more than its size allows.
        UnsupportedMediaTypeError: Pillow is not installed.
    """
    needed("PIL.Image", "An image body")
    pillow = needed("PIL", "An image body")
    budget = _budget.of(body)
    budget.step(_STEPS + _STEPS_A_SEGMENT * _count_segments(memoryview(body)), _NAME)
    try:
        with warnings.catch_warnings():
            # Warnings are about large images, which are checked below, and about metadata.
            warnings.simplefilter("ignore")
            with pillow.Image.open(io.BytesIO(body), formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise _too_large()
                _check_size(image, body, budget)
                return _pixels(image)
    except pillow.UnidentifiedImageError:
        msg = "Not a JPEG, PNG or WebP image"
        raise DecodeError(msg) from None
    except pillow.Image.DecompressionBombError:
        raise _too_large() from None
    except _FAILURES as error:
        msg = f"Invalid image: {str(error)[:150]}"
        raise DecodeError(msg) from None


def _check_size(image: Any, body: Body, budget: Budget) -> None:
    pixels = image.width * image.height
    budget.unpack(pixels * _PIXEL_BYTES.get(image.mode, 4), _NAME, _TIMES)
    kind = "progressive" if image.info.get("progressive") else image.format
    # Beside the pixels themselves, which are counted above.
    budget.attempt(pixels * _WORK_BYTES.get(kind, 1), _NAME)
    if image.format != "JPEG":
        return
    # Each scan of a progressive JPEG goes over all of its pixels.
    scans = bytes(body).count(_START_OF_SCAN)
    budget.step(scans * pixels // _PIXELS_A_STEP, _NAME)


def _count_segments(body: memoryview) -> int:
    """How many parts of a JPEG or PNG come before its pixels: Pillow reads them in Python."""
    count = 0
    if bytes(body[:8]) == _PNG:
        position = 8
        while position + 8 <= len(body) and count < _MAX_SEGMENTS:
            position += 12 + int.from_bytes(body[position : position + 4], "big")
            count += 1
    elif bytes(body[:2]) == _JPEG:
        position = 2
        while position + 4 <= len(body) and count < _MAX_SEGMENTS:
            marker = body[position + 1]
            if body[position] != _MARK or marker == _SCAN:
                break
            is_padding = marker in (0, _MARK)
            length = int.from_bytes(body[position + 2 : position + 4], "big")
            position += 1 if is_padding else 2 if marker in _ALONE else 2 + length
            count += 1
    return count


def _pixels(image: Any) -> NDArray[Any]:
    # Some lines at a time: for numpy, Pillow copies the pixels to pieces and then to bytes.
    image.load()
    lines = max(1, _STRIP // image.width)
    strips = (
        np.asarray(_plain(image.crop((0, top, image.width, min(top + lines, image.height)))))
        for top in range(0, image.height, lines)
    )
    first = next(strips)
    pixels: NDArray[Any] = np.empty((image.height, *first.shape[1:]), first.dtype)
    for top, strip in zip(range(0, image.height, lines), chain((first,), strips), strict=True):
        pixels[top : top + lines] = strip
    return pixels


def _plain(image: Any) -> Any:
    if image.mode in _ARRAY_MODES:
        return image
    transparent = image.mode in _TRANSPARENT_MODES or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")


def _too_large() -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The image has over {_MAX_PIXELS // 1_000_000} million pixels")
