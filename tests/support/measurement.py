"""Which processes that tests start are measured."""

from __future__ import annotations

from typing import Final

# For servers whose supervisor is killed. Their workers see that before they are killed as well, and
# begin to write what they have run: a file that ends in the middle spoils all measurements.
UNMEASURED: Final = {"COVERAGE_PROCESS_CONFIG": ""}
