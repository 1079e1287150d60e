"""BentoML: starts the service in service.py with BentoML's own command."""

import os
import sys
from pathlib import Path

import task

os.environ["BENTOML_HOME"] = str(Path.cwd() / "bentoml")
os.environ["BENTOML_DO_NOT_TRACK"] = "true"
command = Path(sys.executable).with_name("bentoml")
place = ["--working-dir", str(Path(__file__).parent), "--host", task.HOST]
os.execv(command, [str(command), "serve", "service:Double", *place, "--port", str(task.PORT)])
