"""The end of a worker whose program has threads that go on."""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import Final

from sagemaker_inference._log import get_logger
from sagemaker_inference._os import standard_streams

logger = get_logger()

# The interpreter waits for threads that are not daemons, without a limit. What they have to finish
# in a server that has answered its last request, they finish in so many seconds or not at all.
PATIENCE_SECONDS: Final = 2.0


def leave_soon(code: int, seconds: float = PATIENCE_SECONDS) -> None:
    """End this process in so many seconds at the latest; its exit goes on meanwhile.

    What the program has registered with ``atexit`` is called in any case.
    """
    main = threading.current_thread()
    threading.Thread(target=_end, args=(main, code, seconds), name="leaving", daemon=True).start()


def _end(main: threading.Thread, code: int, seconds: float) -> None:
    time.sleep(seconds)
    names = [
        thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main
    ]
    if not names:  # it is at something else, which has its own time
        return
    logger.warning(
        "threads of the program go on after the stop and are ended: %s. Stop them in @on_shutdown, "
        "or make them daemons.",
        ", ".join(names),
    )
    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does after its threads
    standard_streams.flush()
    os._exit(code)
