"""java/build.py as a module: it stands beside sources of another language, in no package."""

from __future__ import annotations

import importlib.util
from typing import Any

from support.documents import ROOT


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("build", ROOT / "java" / "build.py")
    if spec is None or spec.loader is None:
        raise ImportError(ROOT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build: Any = _load()
