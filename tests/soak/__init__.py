"""Servers under load while everything around them fails: is anything lost, mixed or leaked?

``python -m tests.soak`` is about requests, ``python -m tests.soak.models`` about models that are
loaded and unloaded, ``python -m tests.soak.streams`` about streams, WebSockets and sessions; each
has ``--help``. ``tests/server/test_soak.py`` has short forms of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

# pytest does the same, as pyproject.toml says.
if (_TESTS := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.append(_TESTS)
