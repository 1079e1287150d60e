"""Prints what failed in a run of tox once more, behind its tens of thousands of lines.

    python .ci/failures.py RESULTS

RESULTS is what ``tox --result-json`` has written.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

_LINES = 150
# Where pytest begins to say what failed.
_FAILURES = re.compile(r"^=+ (?:FAILURES|ERRORS) =+$", re.MULTILINE)


def main() -> None:
    """Print the ends of the commands that failed."""
    results = json.loads(Path(sys.argv[1]).read_text())
    for name, environment in results["testenvs"].items():
        for step in ("setup", "test"):
            for command in environment.get(step, []):
                if code := command["retcode"]:
                    print(f"\n##### {name}: exit {code}: {_words(command['command'])}")
                    print(_tail(command["output"] + command["err"]))


def _words(command: str | list[str]) -> str:
    return command if isinstance(command, str) else " ".join(command)


def _tail(output: str) -> str:
    """What failed, in no more than so many lines; the names are the last of them."""
    found = _FAILURES.search(output)
    return "\n".join(output[found.start() if found else 0 :].splitlines()[-_LINES:])


if __name__ == "__main__":
    main()
