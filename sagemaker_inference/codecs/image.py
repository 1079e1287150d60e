"""JPEG, PNG and WebP images, read only (the extra ``image``).

`decode` returns the pixels as an array of shape (height, width, channels): (h, w, 3) for RGB,
(h, w, 4) with transparency, (h, w) for greyscale. The dtype is uint8, or uint16 for 16-bit
greyscale PNG, or bool for black and white. Palettes are resolved and CMYK is converted to RGB; EXIF
orientation is left to the program. What follows an image is ignored, such as the film of a phone's
motion photo; an image that lacks pixels is refused. So are images of over 64 million pixels, and
images of over 64 MiB that are over a hundred times the size of the body.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference._budget import check_unpacked
from sagemaker_inference._errors import DecodeError, PayloadTooLargeError
from sagemaker_inference.codecs._extras import needed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sagemaker_inference.codecs import Body

_MAX_PIXELS: Final = 64_000_000
# A JPEG of a fiftieth of its pixels can look good; 34 bytes of WebP can be 64 million pixels.
_TIMES: Final = 100
_PIXEL_BYTES: Final = {"1": 1, "L": 1, "I;16": 2, "RGB": 3}
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

    Raises:
        DecodeError: the body is not an image of these formats, or a damaged one.
        PayloadTooLargeError: it has over 64 million pixels, or far more than its size allows.
        UnsupportedMediaTypeError: Pillow is not installed.
    """
    needed("PIL.Image", "An image body")
    pillow = needed("PIL", "An image body")
    try:
        with warnings.catch_warnings():
            # Warnings are about large images, which are checked below, and about metadata.
            warnings.simplefilter("ignore")
            with pillow.Image.open(io.BytesIO(body), formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise _too_large()
                size = image.width * image.height * _PIXEL_BYTES.get(image.mode, 4)
                check_unpacked(size, len(body), "image", _TIMES)
                return _pixels(image)
    except pillow.UnidentifiedImageError:
        msg = "Not a JPEG, PNG or WebP image"
        raise DecodeError(msg) from None
    except pillow.Image.DecompressionBombError:
        raise _too_large() from None
    except _FAILURES as error:
        msg = f"Invalid image: {str(error)[:150]}"
        raise DecodeError(msg) from None


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
