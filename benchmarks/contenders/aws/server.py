"""AWS's toolkit on the stock Multi Model Server, started by its own ``start_model_server()``."""

import os
from pathlib import Path

import on_demand
import task

# The toolkit reads these while it is imported.
os.environ["SAGEMAKER_BASE_DIR"] = str(Path.cwd())
os.environ["SAGEMAKER_BIND_TO_PORT"] = str(task.PORT)
os.environ["SAGEMAKER_MODEL_SERVER_WORKERS"] = "1"
os.environ["SAGEMAKER_MULTI_MODEL"] = str(task.MODE == "many").lower()

import psutil
from sagemaker_inference import model_server

PROGRAM = """
import task
from sagemaker_inference import decoder, encoder

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body if content_type == task.BYTES else decoder.decode(body, content_type)

def predict_fn(data, model):
    return task.predict(data) if task.IS_QUICK else task.predict_slowly(data)

def output_fn(prediction, accept):
    if accept == task.BYTES:
        return bytes(prediction)
    return encoder.encode(prediction, accept)
"""


def _of_this_session():
    return [each for each in list(_all_processes()) if _session(each.pid) == os.getsid(0)]


def _session(pid):
    try:
        return os.getsid(pid)
    except OSError:
        return -1


# It finds one program for all of many models; those in their own folders it does not.
code = Path("models" if task.MODE == "many" else "model", "code")
code.mkdir(parents=True)
(code / "inference.py").write_text(PROGRAM)
if task.MODE == "many":
    on_demand.make_models(PROGRAM)
    on_demand.load_models()
# It would write to /etc, and refuse to start beside another front end on the machine.
model_server.MMS_CONFIG_FILE = str(Path.cwd() / "mms.properties")
_all_processes = psutil.process_iter
psutil.process_iter = _of_this_session
model_server.start_model_server()
