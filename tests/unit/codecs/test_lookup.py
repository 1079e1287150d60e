from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
import timeit

import numpy as np
import pytest

from sagemaker_inference import codecs
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference.codecs import _extras
from sagemaker_inference.errors import NotAcceptableError, UnsupportedMediaTypeError


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("text/csv;label_size=0", "csv"),
        ("application/x-ndjson", "jsonlines"),
        ("application/jsonl", "jsonlines"),
        ("tensor/pt", "npy"),
        ("text/x-libsvm", "libsvm"),
        ("image/png", "image"),
        ("multipart/form-data; boundary=X", "form"),
    ],
)
def test_case_and_parameters_of_a_header_do_not_matter(header, name):
    codec = codecs.for_content_type(header)
    assert codec is not None
    assert codec.name == name


def test_an_unknown_content_type_has_no_codec():
    assert codecs.for_content_type("application/x-unknown") is None
    assert codecs.for_content_type("") is None


def test_a_codec_has_the_functions_of_its_module():
    for name in codecs.decodable():
        codec = codecs.for_content_type(name)
        assert codec is not None
        assert codec.content_types[0] == name
        module = importlib.import_module(f"sagemaker_inference.codecs.{codec.name}")
        assert codec.decode is module.decode
        assert codec.encode is getattr(module, "encode", None)
        assert (codec.encode is not None) == (name in codecs.encodable())
        assert all(codecs.for_content_type(alias) is codec for alias in codec.content_types[1:])


@pytest.fixture
def no_extras(uninstall):
    """As if no extra were installed."""
    uninstall(*_extras.EXTRAS)


def test_a_format_without_its_library_is_not_offered(no_extras):
    lacking = {"application/x-parquet", "application/vnd.apache.arrow.stream"}
    assert not (lacking | {"text/libsvm", "application/x-image"}) & set(codecs.decodable())
    assert "text/libsvm" in codecs.encodable()
    assert not lacking & set(codecs.encodable())
    for name in lacking:
        assert "sagemaker-inference[arrow]" in (codecs.fix_for(name) or "")
        codec = codecs.for_content_type(name)
        assert codec is not None
        assert codec.encode is None
        with pytest.raises(UnsupportedMediaTypeError, match="send one of: application/json"):
            codec.decode(b"", name)


def test_a_format_that_is_installed_or_unknown_needs_no_fix():
    for name in ("application/x-parquet", "text/csv", "image/png", "what/ever"):
        assert codecs.fix_for(name) is None


def test_parquet_without_its_library_is_not_acceptable(no_extras, caplog, registry):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    handler = assemble(registry)
    assert "application/x-parquet" not in (*handler.readable, *handler.writable)
    with pytest.raises(NotAcceptableError, match="accept one of: application/json") as caught:
        handler.encoders.for_accept("application/vnd.apache.parquet")
    assert "pip" not in str(caught.value)
    assert "pip install 'sagemaker-inference[arrow]'" in caplog.text
    encoding = handler.encoders.for_accept("application/x-parquet, text/csv;q=0.1")
    assert encoding.content_type == "text/csv"
    caplog.clear()
    with pytest.raises(UnsupportedMediaTypeError, match="send one of: application/json") as refused:
        handler.decoders.for_content_type("application/x-parquet").read(b"", "")
    assert "pip" not in str(refused.value)
    assert "pip install 'sagemaker-inference[arrow]'" in caplog.text


def test_json_is_preferred():
    assert codecs.encodable()[0] == codecs.decodable()[0] == "application/json"


def test_a_codec_cannot_be_changed():
    codec = codecs.for_content_type("text/csv")
    assert codec is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        codec.name = "other"


def test_nothing_heavy_is_imported_before_a_format_is_used():
    program = (
        "import sys\n"
        "from sagemaker_inference import codecs, decoder, encoder\n"
        "assert not {'numpy', 'orjson', 'scipy', 'pyarrow', 'PIL'} & set(sys.modules)\n"
        "codecs.for_content_type('text/csv')\n"
        "assert 'numpy' in sys.modules\n"
        "assert not {'scipy', 'pyarrow', 'PIL', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_repeated_header_costs_under_5_microseconds():
    seconds = min(
        timeit.repeat(lambda: codecs.for_content_type("text/csv; x=1"), number=1000, repeat=20)
    )
    assert seconds / 1000 < 5e-6


def test_modules_may_be_named_like_standard_ones():
    from sagemaker_inference.codecs import csv, json

    assert csv.decode(b"1,2").tolist() == [[1, 2]]
    assert json.encode(np.array([1])) == b"[1]"
