"""Say on which Pythons the tests have run, and on which not, by the measurements they left.

Usage: tested.py FOLDER ENVIRONMENT...
"""

import sys
from pathlib import Path


def main(folder: str, *environments: str) -> None:
    """Print a line each."""
    ran = [name for name in environments if any(Path(folder).glob(f".coverage.{name}.*"))]
    missing = [name for name in environments if name not in ran]
    print(f"Tested: {', '.join(ran) or 'nothing'}.")
    if missing:
        print(f"NOT tested, not asked for or Python not found: {', '.join(missing)}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
