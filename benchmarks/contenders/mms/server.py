"""The stock Multi Model Server with a bare handler: what its front end and back end cost alone.

The handler computes an answer once for each length of body and returns the same bytes from then on.
"""

import os
import sys
from pathlib import Path

import task

CONFIGURATION = f"""
inference_address=http://{task.HOST}:{task.PORT}
management_address=http://{task.HOST}:{task.PORT + 1}
default_workers_per_model=1
default_service_handler=bare:handle
decode_input_request=false
"""

HANDLER = """
import by_hand
import task

answers = {}

def handle(data, context):
    if data is None:
        return None
    body = data[0]["body"]
    if not task.IS_QUICK:
        task.predict_slowly(0)
    answer = answers.get(len(body))
    if answer is None:
        content_type = context.get_request_header(0, "Content-Type")
        answer = answers[len(body)] = bytes(by_hand.answer(bytes(body), content_type))
    return [answer]
"""

folder = Path.cwd()
folder.joinpath("config.properties").write_text(CONFIGURATION)
names = task.MODELS if task.MODE == "many" else ["model"]
for name in names:
    folder.joinpath("models", name).mkdir(parents=True)
    folder.joinpath("models", name, "bare.py").write_text(HANDLER)
command = Path(sys.executable).with_name("multi-model-server")
os.execv(
    command,
    [
        str(command),
        "--start",
        "--foreground",
        "--mms-config",
        "config.properties",
        "--model-store",
        str(folder / "models"),
        "--models",
        *(f"{name}={name}" for name in names),
    ],
)
