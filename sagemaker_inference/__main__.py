"""The command line: ``sagemaker-inference``; its commands are in `sagemaker_inference._cli`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sagemaker_inference._aws import shadowed
from sagemaker_inference._cli import INTERRUPTED, SIGNALLED

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code.

    Args:
        argv: the arguments; None for those of this process, which a signal may end here.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if shadowed.is_overwritten():
        print(  # noqa: T201 - the logging module may be another package's as well
            f"sagemaker-inference: error: {shadowed.MESSAGE}", file=sys.stderr
        )
        return 1
    # What containers run starts without the library of the command line, which would take longer to
    # import than all that is needed.
    if words == ["serve"]:
        from sagemaker_inference._cli import _containers

        return _containers.serve()
    if words == ["prepare"]:
        from sagemaker_inference._cli import _containers

        return _containers.prepare()
    try:
        from sagemaker_inference._cli._group import run

        code = run(words)
    except KeyboardInterrupt:
        # While it was being imported, or cleaned up.
        code = INTERRUPTED
    if argv is None and code > SIGNALLED:
        from sagemaker_inference._cli._signals import leave

        leave(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
