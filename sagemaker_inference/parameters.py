"""Names of the environment variables that AWS's toolkit knows, as its modules spell them."""

from __future__ import annotations

from typing import Final

from sagemaker_inference import _variables

BASE_PATH_ENV: Final = _variables.BASE_DIR.name
USER_PROGRAM_ENV: Final = _variables.PROGRAM.name
LOG_LEVEL_ENV: Final = _variables.LOG_LEVEL.name
DEFAULT_INVOCATIONS_ACCEPT_ENV: Final = _variables.DEFAULT_ACCEPT.name
MODEL_SERVER_WORKERS_ENV: Final = _variables.WORKERS.name
MODEL_SERVER_TIMEOUT_ENV: Final = _variables.TIMEOUT.name
MODEL_SERVER_TIMEOUT_SECONDS_ENV: Final = _variables.TIMEOUT_SECONDS.name
MODEL_SERVER_VMARGS: Final = _variables.VMARGS.name
STARTUP_TIMEOUT_ENV: Final = _variables.STARTUP_TIMEOUT.name
BIND_TO_PORT_ENV: Final = _variables.PORT.name
SAFE_PORT_RANGE_ENV: Final = _variables.SAFE_PORT_RANGE.name
MULTI_MODEL_ENV: Final = _variables.MULTI_MODEL.name
MAX_REQUEST_SIZE: Final = _variables.MAX_PAYLOAD_IN_MB.name
