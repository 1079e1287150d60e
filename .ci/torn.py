"""Delete the measurements that killed processes have left half written, and name them.

Tests kill processes, some of them while they write; ``coverage combine`` gives up at such a file.
What these processes ran has to be measured by others.

Usage: torn.py FOLDER
"""

import contextlib
import sqlite3
import sys
from pathlib import Path


def is_whole(path: Path) -> bool:
    """Whether a file is a database without damage, and has the tables of measurements."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
            found = database.execute("pragma integrity_check").fetchone()
            database.execute("select * from file, context, arc, line_bits limit 0")
        except sqlite3.DatabaseError:
            return False
    return found == ("ok",)


def main(folder: str) -> None:
    """Look at all of them."""
    for path in sorted(Path(folder).glob(".coverage.*")):
        if not is_whole(path):
            path.unlink()
            print(f"{path.name} is half written: its process was killed meanwhile.")


if __name__ == "__main__":
    main(*sys.argv[1:])
