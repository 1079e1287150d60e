"""Ray on this machine, for the contenders that it serves."""

import os
import signal
import tempfile
import threading

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
import task
from ray import serve


def serve_with(start):
    """Start Ray, call a function that starts what it serves, and wait for SIGTERM."""
    # Its sockets' paths have at most 107 bytes.
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _temp_dir=tempfile.gettempdir(),
        object_store_memory=100_000_000,
        runtime_env={"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}},
    )
    serve.start(http_options={"host": task.HOST, "port": task.PORT})
    start()
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    over.wait()
    serve.shutdown()
    ray.shutdown()
