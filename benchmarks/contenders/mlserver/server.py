"""MLServer: starts the model in runtime.py, in the server's own process, by its own command."""

import json
import os
import sys
from pathlib import Path

import task

settings = {
    "host": task.HOST,
    "http_port": task.PORT,
    "grpc_port": task.PORT + 1,
    "metrics_port": task.PORT + 2,
    # Custom endpoints are answered in this process: one of its own would be a second copy.
    "parallel_workers": 0,
}
names, runtime = ["model"], "runtime.Double"
if task.MODE == "many":
    names, runtime = task.MODELS, "runtime.InV2"
elif task.MODE == "stream":
    # Its documentation asks for that.
    settings["gzip_enabled"] = False
model = {"implementation": runtime}
if task.MODE == "batched":
    # It waits so many seconds for a batch to fill, always.
    model |= {"max_batch_size": task.MAX_BATCH, "max_batch_time": 0.005}
Path("settings.json").write_text(json.dumps(settings))
for name in names:
    Path("models", name).mkdir(parents=True)
    Path("models", name, "model-settings.json").write_text(json.dumps(model | {"name": name}))
os.environ["PYTHONPATH"] += f":{Path(__file__).parent}"
command = Path(sys.executable).with_name("mlserver")
os.execv(command, [str(command), "start", "."])
