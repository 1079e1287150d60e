"""Load and unload many models by many clients while workers are killed and loads fail.

Run it by hand, since it takes minutes::

    python -m tests.soak.models --loads 1000

Half of the names are fought over: their clients take no notice of each other. On the other half one
client works at a time, and knows what to expect: the model that it has loaded answers, and none
that was there before. Every load that fails has to say why, and in the end nothing may be left.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.ports import free_port

from tests.server.conftest import Server
from tests.soak.processes import WORKER, Killer, held, leaks
from tests.soak.scenarios import FAILED_LOAD

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILING_LOADS = 0.1
SOURCE = f"""
import os, random

def model_fn(model_dir):
    if random.random() < {FAILING_LOADS}:
        raise RuntimeError("{FAILED_LOAD}")
    return model_dir

def predict_fn(data, model):
    return [model, os.getpid()]
"""
START = "from sagemaker_inference import model_server\nmodel_server.start_model_server()\n"
VARIANTS = 3
# Workers are killed while there are more: one that is killed each time before it has loaded costs
# its model.
LEAST_LEFT = 2
# Nothing is in progress for so long: an unload that takes longer has waited for a worker in vain.
SLOW_SECONDS = 4.5
# What may become of a request to a name that is fought over, or whose worker is killed.
LOAD = {200, 409, 500}
INVOKE = {200, 404, 500, 503}


class Soak:
    """One run.

    Attributes:
        faults: what should not have been.
        counts: what became of requests.
    """

    def __init__(self, server: Server, folder: Path, loads: int, names: int) -> None:
        self.server = server
        self.faults: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self._names = [f"model {number}" for number in range(names)]
        self._locks = [threading.Lock() for _ in range(names // 2)]
        self._left = loads
        self._lock = threading.Lock()
        self._folders = []
        for number in range(VARIANTS):
            code = folder / f"variant{number}" / "code"
            code.mkdir(parents=True)
            (code / "inference.py").write_text(SOURCE)
            self._folders.append(str(code.parent))

    def _url(self, name: str, rest: str = "") -> str:
        return f"/models/{name.replace(' ', '%20')}{rest}"

    def _note(self, what: str, status: int, allowed: set[int], answer: Any) -> None:
        with self._lock:
            self.counts[f"{what} {status}"] += 1
            if status not in allowed:
                self.faults.append(f"{what}: {status} {answer}")

    def _load(self, name: str, folder: str, allowed: set[int]) -> int:
        body = f'{{"model_name": "{name}", "url": "{folder}"}}'
        reply = self.server.request(body, path="/models")
        self._note("load", reply.status, allowed, reply.body)
        if reply.status == 500:
            words = ("was killed by SIGKILL", "was deleted while it was loading", FAILED_LOAD)
            if not any(word in reply.json["message"] for word in words):
                self._note("load without a cause", 500, set(), reply.body)
        return reply.status

    def _unload(self, name: str, allowed: set[int]) -> int:
        began = time.monotonic()
        reply = self.server.request(method="DELETE", path=self._url(name))
        if time.monotonic() - began > SLOW_SECONDS:
            self._note("slow unload", reply.status, set(), time.monotonic() - began)
        self._note("unload", reply.status, allowed, reply.body)
        return reply.status

    def _invoke(self, name: str, allowed: set[int]) -> Any:
        reply = self.server.request("[1]", path=self._url(name, "/invoke"))
        self._note("invoke", reply.status, allowed, reply.body)
        return reply.json if reply.status == 200 else None

    def _fight(self, name: str, dice: random.Random) -> None:
        self._load(name, dice.choice(self._folders), LOAD)
        time.sleep(dice.random() / 500)
        self._invoke(name, INVOKE)
        self._unload(name, {200, 404})

    def _work_alone(self, name: str, dice: random.Random) -> None:
        folder = dice.choice(self._folders)
        if self._load(name, folder, {200, 500}) != 200:
            return
        seen = set()
        for _ in range(3):
            answer = self._invoke(name, {200, 500})
            if answer is not None:
                seen.add(answer[1])
                if answer[0] != folder:
                    self._note("an old model answers", 200, set(), answer)
        # It may be let go by itself, where its worker was killed again and again.
        self._unload(name, {200, 404})
        for pid in seen:
            if _is_alive(pid):
                self._note("alive after its end", pid, set(), name)
        self._invoke(name, {404})

    def _client(self, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - chance, not secrets
        while True:
            with self._lock:
                if self._left <= 0:
                    return
                self._left -= 1
            number = dice.randrange(len(self._names))
            try:
                if number < len(self._locks):
                    with self._locks[number]:
                        self._work_alone(self._names[number], dice)
                else:
                    self._fight(self._names[number], dice)
            except Exception as error:  # noqa: BLE001 - counted
                self._note(f"broken: {type(error).__name__}", 0, set(), error)

    def run(self, clients: int, kill_every: float) -> None:
        """Run to the end, and see what is left."""
        # Java and the supervisor load what they need for the first model.
        self._load(self._names[0], self._folders[0], {200, 500})
        self._unload(self._names[0], {200, 404})
        before = held(self.server)
        killer = Killer(self.server, kill_every, least_left=LEAST_LEFT)
        threads = [threading.Thread(target=self._client, args=(seed,)) for seed in range(clients)]
        with killer.at_work():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.counts["kill"] += killer.kills
        for name in self._names:
            self._unload(name, {200, 404})
        reply = self.server.request(method="GET", path="/models")
        self._note("list", reply.status, {200}, reply.body)
        if reply.json != {"models": []}:
            self.faults.append(f"models are left: {reply.json}")
        if left := self.server.pids(WORKER):
            self.faults.append(f"workers are left: {left}")
        self.faults += leaks(self.server, before)


def _is_alive(pid: int) -> bool:
    try:
        stat = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server of many models."""
    (folder / "start.py").write_text(START)
    port = free_port()
    env = {"SAGEMAKER_BIND_TO_PORT": str(port), "SAGEMAKER_MULTI_MODEL": "true"}
    server = Server(folder, ["start.py"], env, port)
    try:
        yield server.wait_ready()
    finally:
        server.clean_up()


def main() -> int:
    """Run the soak; 0 where all was as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--loads", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--names", type=int, default=20)
    parser.add_argument("--kill-every", type=float, default=0.5, metavar="SECONDS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        began = time.monotonic()
        soak = Soak(server, Path(name), options.loads, options.names)
        soak.run(options.clients, options.kill_every)
        seconds = time.monotonic() - began
        code = server.stop()
        server.wait_gone()
    print(f"{options.loads} loads in {seconds:.0f} s, exit code {code}")  # noqa: T201 - a script talks
    for what, count in soak.counts.most_common():
        print(f"{count:8d}  {what}")  # noqa: T201 - a script talks
    for fault in soak.faults[:20]:
        print(fault)  # noqa: T201 - a script talks
    print(f"{len(soak.faults)} faults")  # noqa: T201 - a script talks
    return 1 if soak.faults or code else 0


if __name__ == "__main__":
    sys.exit(main())
