"""What the codecs' tests share."""

from __future__ import annotations

import sys

import pytest

from sagemaker_inference import codecs
from sagemaker_inference.codecs import _extras, _numbers, json


@pytest.fixture(params=["simdjson", "orjson"])
def backend(request, monkeypatch):
    """Both ways to read numbers: with simdjson, and as if it were not installed."""
    if request.param == "orjson":
        monkeypatch.setattr(_numbers, "_flat", _numbers._flat_by_orjson)
    else:
        pytest.importorskip("simdjson")
        monkeypatch.setattr(_numbers, "_flat", _numbers._flat_by_simdjson)
    return request.param


@pytest.fixture(params=[0, 1024], ids=["no small path", "small path"])
def small(request, monkeypatch):
    """With and without the shortcut for short texts."""
    monkeypatch.setattr(_numbers, "SMALL", request.param)
    monkeypatch.setattr(json, "_SMALL", request.param)
    return request.param


@pytest.fixture
def uninstall(monkeypatch):
    """Make libraries look as if they were not installed: ``uninstall("scipy")``."""

    def hide(*libraries):
        for library in libraries:
            patch.setitem(sys.modules, library, None)
        _extras.is_installed.cache_clear()

    with codecs.isolated():
        with monkeypatch.context() as patch:
            yield hide
        _extras.is_installed.cache_clear()


@pytest.fixture
def tiny_pieces(monkeypatch):
    """Long texts are read in pieces: make everything long."""
    monkeypatch.setattr(_numbers, "SMALL", 0)
    monkeypatch.setattr(json, "_SMALL", 0)
    monkeypatch.setattr(_numbers, "_PIECE", 8)
