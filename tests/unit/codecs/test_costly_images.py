"""Images that look small and are not."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from sagemaker_inference.codecs import image
from sagemaker_inference.errors import DecodeError, PayloadTooLargeError

# They take long, and no Python differs in what they are about.
pytestmark = pytest.mark.once


def written(kind, width, height, **options):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 199)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_memory_of_pillow_counts_by_format():
    body = written("WEBP", 4200, 4200)
    with pytest.raises(PayloadTooLargeError, match="bytes of memory to be checked"):
        image.decode(body + bytes(1_000_000))
    body = written("JPEG", 5000, 5000, progressive=True)
    with pytest.raises(PayloadTooLargeError, match="bytes of memory to be checked"):
        image.decode(body + bytes(1_000_000))
    assert image.decode(written("JPEG", 4000, 4000)).shape == (4000, 4000, 3)


def test_scans_count_by_their_pixels():
    body = written("JPEG", 2000, 2000, progressive=True)
    start, end = body.rindex(b"\xff\xda"), len(body) - 2
    assert image.decode(body).shape == (2000, 2000, 3)
    with pytest.raises(PayloadTooLargeError, match="steps to read"):
        image.decode(body[:start] + body[start:end] * 600 + body[end:])


@pytest.mark.parametrize(
    "start",
    [
        b"\xff\xd8" + b"\xff\xfe\0\2" * 200_000,
        b"\xff\xd8" + b"\xff" * 200_000,
        b"\xff\xd8" + b"\xff\xd0" * 200_000,
        b"\x89PNG\r\n\x1a\n" + (bytes(4) + b"teSt" + bytes(4)) * 200_000,
    ],
)
def test_parts_that_pillow_reads_in_python_are_steps(start):
    with pytest.raises(PayloadTooLargeError, match=r"takes 2000\d+ steps"):
        image.decode(start)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xfe\0\2", b"\xff\xd8" + bytes(9), b"GIF89a"])
def test_what_is_no_image_is_refused_as_before(start):
    with pytest.raises(DecodeError):
        image.decode(start)
