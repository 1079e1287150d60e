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
def test_formats_are_found_whatever_the_case_and_parameters(header, name):
    found = codecs.find(header)
    assert found is not None
    assert found.name == name


def test_an_unknown_type_has_no_format():
    assert codecs.find("application/x-unknown") is None
    assert codecs.find("") is None


def test_the_table_is_what_the_modules_say():
    for name in codecs.decodable():
        found = codecs.find(name)
        assert found is not None
        module = importlib.import_module(f"sagemaker_inference.codecs.{found.name}")
        assert found.content_types == module.CONTENT_TYPES
        assert found.decode is module.decode
        assert found.encode is getattr(module, "encode", None)
        assert (found.encode is not None) == (name in codecs.encodable())
        assert all(codecs.find(alias) is found for alias in found.content_types[1:])


@pytest.fixture
def nothing_extra(monkeypatch):
    """As if no extra were installed."""
    for library in _extras.EXTRAS:
        monkeypatch.setitem(sys.modules, library, None)
    _extras.is_installed.cache_clear()
    codecs.find.cache_clear()
    codecs._load.cache_clear()
    yield
    _extras.is_installed.cache_clear()
    codecs.find.cache_clear()
    codecs._load.cache_clear()


def test_a_format_without_its_library_is_not_offered(nothing_extra):
    lacking = {"application/x-parquet", "application/vnd.apache.arrow.stream"}
    assert not (lacking | {"text/libsvm", "application/x-image"}) & set(codecs.decodable())
    assert "text/libsvm" in codecs.encodable()
    assert not lacking & set(codecs.encodable())
    for name in lacking:
        assert "sagemaker-inference[arrow]" in (codecs.mend(name) or "")
        found = codecs.find(name)
        assert found is not None
        assert found.encode is None
        with pytest.raises(UnsupportedMediaTypeError, match="send one of: application/json"):
            found.decode(b"", name)


def test_what_is_installed_or_unknown_needs_no_mend():
    for name in ("application/x-parquet", "text/csv", "image/png", "what/ever"):
        assert codecs.mend(name) is None


def test_parquet_without_its_library_is_not_acceptable(nothing_extra, caplog, registry):
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    handler = assemble(registry)
    assert "application/x-parquet" not in (*handler.readable, *handler.writable)
    with pytest.raises(NotAcceptableError, match="accept one of: application/json") as caught:
        handler.encoders.for_accept("application/vnd.apache.parquet")
    assert "pip" not in str(caught.value)
    assert "pip install 'sagemaker-inference[arrow]'" in caplog.text
    found = handler.encoders.for_accept("application/x-parquet, text/csv;q=0.1")
    assert found.content_type == "text/csv"
    caplog.clear()
    with pytest.raises(UnsupportedMediaTypeError, match="send one of: application/json") as refused:
        handler.decoders.for_content_type("application/x-parquet").read(b"", "")
    assert "pip" not in str(refused.value)
    assert "pip install 'sagemaker-inference[arrow]'" in caplog.text


def test_json_is_the_favourite():
    assert codecs.encodable()[0] == codecs.decodable()[0] == "application/json"


def test_a_codec_cannot_be_changed():
    found = codecs.find("text/csv")
    assert found is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "other"


def test_nothing_heavy_is_imported_before_a_format_is_found():
    program = (
        "import sys\n"
        "from sagemaker_inference import codecs, decoder, encoder\n"
        "assert not {'numpy', 'orjson', 'scipy', 'pyarrow', 'PIL'} & set(sys.modules)\n"
        "codecs.find('text/csv')\n"
        "assert 'numpy' in sys.modules\n"
        "assert not {'scipy', 'pyarrow', 'PIL', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_repeated_header_costs_next_to_nothing():
    seconds = min(timeit.repeat(lambda: codecs.find("text/csv; x=1"), number=1000, repeat=20))
    assert seconds / 1000 < 5e-6


def test_a_module_may_have_the_name_of_a_standard_one():
    from sagemaker_inference.codecs import csv, json

    assert csv.decode(b"1,2").tolist() == [[1, 2]]
    assert json.encode(np.array([1])) == b"[1]"
