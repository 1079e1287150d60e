"""Send many requests to servers whose workers are killed, hang and cannot load.

Run it by hand, since it takes long; each server gets its share of the requests::

    python -m tests.soak --requests 200000

One in a hundred requests raises, and some hang, use up the memory or end their worker. Clients stop
reading, go away, and send several requests at once. Workers are killed and stopped from outside,
loads fail by chance, and readers of the log stop or go away. The exit code is 1 where an answer
is wrong or missing, an error is not the one that it should be, or a process holds more descriptors
than after the warm-up, or more memory than a bound allows.
"""

from __future__ import annotations

import argparse
import signal
import sys

from tests.soak.processes import MEMORY_BOUNDS
from tests.soak.requests import Options, Result, soak
from tests.soak.scenarios import SCENARIOS

_MOST_FAULTS = 20


def main() -> int:
    """Soak each server; 0 where all was as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Options(200_000)
    parser.add_argument("--requests", type=int, default=usual.requests, help="of all servers")
    parser.add_argument("--connections", type=int, default=usual.connections)
    parser.add_argument("--workers", type=int, default=usual.workers)
    parser.add_argument("--kill-every", type=float, default=usual.kill_every, metavar="SECONDS")
    parser.add_argument("--failing-loads", type=float, default=usual.failing_loads, metavar="PART")
    parser.add_argument("--accidents", type=float, default=usual.accidents, metavar="FACTOR")
    parser.add_argument(
        "--servers", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="SERVER"
    )
    arguments = vars(parser.parse_args())
    servers = arguments.pop("servers")
    options = Options(**arguments)
    options = options._replace(requests=options.requests // len(servers))
    # So that the server is stopped, too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    has_faults = False
    for name in servers:
        result = soak(SCENARIOS[name], options)
        _print(name, SCENARIOS[name].reader, options, result)
        has_faults |= bool(result.faults)
    return int(has_faults)


def _print(name: str, reader: str, options: Options, result: Result) -> None:
    head = f"{name}: {options.requests} requests in {result.seconds:.0f} s"
    lines = [f"{head}, {result.kills} kills from outside; the log's reader {reader}"]
    lines += [f"{count:8d}  {verdict[:200]}" for verdict, count in result.verdicts.most_common()]
    for kind, bound in MEMORY_BOUNDS.items():
        before, after = result.before[kind], result.after[kind]
        lines.append(
            f"          {kind}: {before.descriptors} descriptors, then {after.descriptors}; "
            f"{before.megabytes:.0f} MB, then {after.megabytes:.0f} (at most {bound:.0f} more)"
        )
    # The last one has the end of the log.
    faults = [*result.faults[:-1][:_MOST_FAULTS], *result.faults[-1:]]
    lines += [f"FAULT     {fault}" for fault in faults]
    lines.append(f"{len(result.faults)} faults")
    print("\n".join(lines), flush=True)  # noqa: T201 - a script talks


if __name__ == "__main__":
    sys.exit(main())
