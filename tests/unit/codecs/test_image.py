from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from sagemaker_inference.codecs import image
from sagemaker_inference.errors import (
    DecodeError,
    InferenceError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)


def drawn(mode="RGB", form="PNG", size=(5, 4), **options):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "form", "shape", "dtype"),
    [
        ("RGB", "PNG", (4, 5, 3), "u1"),
        ("RGB", "JPEG", (4, 5, 3), "u1"),
        ("RGB", "WEBP", (4, 5, 3), "u1"),
        ("RGBA", "PNG", (4, 5, 4), "u1"),
        ("L", "PNG", (4, 5), "u1"),
        ("L", "JPEG", (4, 5), "u1"),
        ("LA", "PNG", (4, 5, 4), "u1"),
        ("P", "PNG", (4, 5, 3), "u1"),
        ("1", "PNG", (4, 5), "?"),
        ("I;16", "PNG", (4, 5), "u2"),
        ("CMYK", "JPEG", (4, 5, 3), "u1"),
    ],
)
def test_pixels_are_height_by_width_by_channels(mode, form, shape, dtype):
    for kind in (bytes, bytearray, memoryview):
        decoded = image.decode(kind(drawn(mode, form)))
        assert decoded.shape == shape
        assert decoded.dtype == dtype


def test_pixels_survive_a_round_trip():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 3, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    np.testing.assert_array_equal(image.decode(buffer.getvalue()), pixels)


def test_a_transparent_palette_has_four_channels():
    assert image.decode(drawn("P", transparency=0)).shape == (4, 5, 4)


@pytest.mark.parametrize("body", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF"])
def test_a_body_that_is_not_an_image_is_refused(body):
    with pytest.raises(DecodeError):
        image.decode(body)


@pytest.mark.parametrize(
    ("form", "end"),
    # A PNG's last chunk says only that nothing follows.
    [("PNG", 24), ("JPEG", 0), ("WEBP", 0)],
)
def test_an_image_that_lacks_pixels_is_refused(form, end):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    body = buffer.getvalue()
    for size in range(0, len(body) - end, 7):
        with pytest.raises(DecodeError) as caught:
            image.decode(body[:size])
        assert len(caught.value.message) <= 300


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_what_follows_an_image_is_ignored(form):
    """As in motion photos of phones, which have a film behind the picture."""
    body = drawn("RGB", form, (9, 9))
    film = bytes(8) + b"ftypmp42" + bytes(10_000)
    np.testing.assert_array_equal(image.decode(body + film), image.decode(body))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_changed_byte_gives_pixels_or_a_refusal(form):
    body = drawn("RGB", form, (9, 9))
    for position in range(len(body)):
        changed = bytearray(body)
        changed[position] ^= 0xFF
        try:
            image.decode(changed)
        except InferenceError as error:
            assert error.status_code in {400, 413}  # noqa: PT017


@pytest.mark.parametrize("size", [(9000, 9000), (20000, 20000)])
def test_over_64_million_pixels_are_refused(size):
    with pytest.raises(PayloadTooLargeError, match="64 million"):
        image.decode(drawn("1", "PNG", size))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_images_over_a_hundred_times_the_body_are_refused(form):
    options = {"lossless": True, "method": 0} if form == "WEBP" else {}
    body = drawn("RGB", form, (5000, 5000), **options)
    with pytest.raises(PayloadTooLargeError, match="unpacks to 75000000"):
        image.decode(body)


def test_images_of_20_to_100_times_the_body_are_read():
    pixels = np.zeros((4800, 4800, 3), np.uint8)
    pixels[::50] = np.random.default_rng(0).integers(0, 256, (96, 4800, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    assert 20 < pixels.nbytes / len(buffer.getvalue()) < 100
    assert np.array_equal(image.decode(buffer.getvalue()), pixels)


def test_pillow_is_an_extra(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(UnsupportedMediaTypeError, match="not supported here"):
        image.decode(b"")
    assert "sagemaker-inference[image]" in caplog.text
