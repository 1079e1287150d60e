"""Many requests while workers are killed: is every one answered, and by its own answer?

Run it by hand, since it takes minutes::

    python -m tests.soak --requests 200000 --connections 32 --kill-every 2

Each request carries a nonce that must come back. What is counted: right answers, honest 5xx with a
request id, and everything that should not be: wrong answers, broken connections, silence.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from support.ports import free_port

from tests.server.conftest import ECHO, Server


def client(
    server: Server, count: int, found: collections.Counter[str], lock: threading.Lock
) -> None:
    """Send ``count`` requests over one connection, each with a nonce of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    mine: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        nonce = random.getrandbits(48)
        try:
            connection.request(
                "POST", "/invocations", f"[{nonce}]", {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            mine[f"LOST: {type(error).__name__}"] += 1
            connection.close()
            continue
        if response.status == 200:
            mine["right" if json.loads(body) == [nonce] else "WRONG"] += 1
        elif response.status >= 500 and response.getheader("x-request-id"):
            mine[f"{response.status} {body.decode(errors='replace')[:60]!r}"] += 1
        else:
            mine[f"UNEXPECTED {response.status}"] += 1
    connection.close()
    with lock:
        found.update(mine)


def kill_now_and_then(server: Server, seconds: float, over: threading.Event) -> None:
    """Kill one worker every so often."""
    while not over.wait(seconds):
        pids = server.pids("sagemaker_inference._worker")
        if pids:
            try:
                os.kill(random.choice(pids), signal.SIGKILL)  # noqa: S311 - any will do
            except ProcessLookupError:
                continue


def main() -> int:
    """Run the soak; 0 where nothing was lost or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--kill-every", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "inference.py").write_text(ECHO)
        port = free_port()
        env = {
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": str(options.workers),
        }
        server = Server(Path(folder), ["inference.py"], env, port).wait_ready()
        over, lock = threading.Event(), threading.Lock()
        found: collections.Counter[str] = collections.Counter()
        killer = threading.Thread(target=kill_now_and_then, args=(server, options.kill_every, over))
        killer.start()
        began = time.monotonic()
        share = options.requests // options.connections
        clients = [
            threading.Thread(target=client, args=(server, share, found, lock))
            for _ in range(options.connections)
        ]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        seconds = time.monotonic() - began
        over.set()
        killer.join()
        deaths = server.log.count("was killed by SIGKILL")
        code = server.stop()
        server.wait_gone()
        server.clean_up()
    total = sum(found.values())
    print(f"{total} requests in {seconds:.0f} s, {deaths} workers killed, exit code {code}")  # noqa: T201 - a script talks
    for what, count in found.most_common():
        print(f"{count:8d}  {what}")  # noqa: T201 - a script talks
    bad = sum(count for what, count in found.items() if what[0] in "LWU")
    print(f"{total - bad} passed, {bad} failed")  # noqa: T201 - a script talks
    return 1 if bad or code else 0


if __name__ == "__main__":
    sys.exit(main())
