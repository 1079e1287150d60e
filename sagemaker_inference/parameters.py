"""Names of the environment variables that AWS's toolkit knows, as its modules spell them."""

from __future__ import annotations

from typing import Final

from sagemaker_inference import _config

BASE_PATH_ENV: Final = _config.BASE_DIR.name
USER_PROGRAM_ENV: Final = _config.PROGRAM.name
LOG_LEVEL_ENV: Final = _config.LOG_LEVEL.name
DEFAULT_INVOCATIONS_ACCEPT_ENV: Final = _config.DEFAULT_ACCEPT.name
MODEL_SERVER_WORKERS_ENV: Final = _config.WORKERS.name
MODEL_SERVER_TIMEOUT_ENV: Final = _config.TIMEOUT.name
MODEL_SERVER_TIMEOUT_SECONDS_ENV: Final = _config.TIMEOUT_SECONDS.name
MODEL_SERVER_VMARGS: Final = _config.VMARGS.name
STARTUP_TIMEOUT_ENV: Final = _config.STARTUP_TIMEOUT.name
BIND_TO_PORT_ENV: Final = _config.PORT.name
SAFE_PORT_RANGE_ENV: Final = _config.SAFE_PORT_RANGE.name
MULTI_MODEL_ENV: Final = _config.MULTI_MODEL.name
MAX_REQUEST_SIZE: Final = _config.MAX_PAYLOAD_IN_MB.name
