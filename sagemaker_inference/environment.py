"""The environment variables under the names of AWS's toolkit."""

from __future__ import annotations

import os

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _variables
from sagemaker_inference._variable import EnvironmentVariableError

__all__ = ["Environment", "EnvironmentVariableError", "base_dir", "code_dir", "model_dir"]

base_dir: str = os.environ.get(_variables.BASE_DIR.name) or _variables.BASE_DIR.default
# os.path: every program imports this module, and pathlib would be a tenth of what that costs.
model_dir: str = os.path.join(  # noqa: PTH118
    base_dir, "models" if _variables.is_on(_variables.MULTI_MODEL) else "model"
)
code_dir: str = os.path.join(model_dir, "code")  # noqa: PTH118


class Environment:
    """A snapshot of the environment variables.

    >>> Environment().inference_http_port
    '8080'

    Raises:
        EnvironmentVariableError: a variable has a malformed value; the message names both.
    """

    def __init__(self) -> None:
        # SageMaker's SDK sends an empty SAGEMAKER_PROGRAM where there is no entry point.
        self._module_name = _variables.PROGRAM.read()
        self._model_server_timeout = _variables.TIMEOUT.read()
        self._model_server_timeout_seconds = _variables.TIMEOUT_SECONDS.read()
        self._model_server_workers = os.environ.get(_variables.WORKERS.name)
        self._startup_timeout = _variables.STARTUP_TIMEOUT.read()
        self._default_accept = os.environ.get(_variables.DEFAULT_ACCEPT.name) or content_types.JSON
        self._inference_http_port = os.environ.get(_variables.PORT.name) or str(
            _variables.PORT.default
        )
        self._safe_port_range = os.environ.get(_variables.SAFE_PORT_RANGE.name)
        self._vmargs = _variables.VMARGS.read()
        self._max_payload_in_mb = _variables.MAX_PAYLOAD_IN_MB.read()

    @property
    def module_name(self) -> str:
        """The user's module, without ``.py``."""
        return self._module_name.removesuffix(".py")

    @property
    def model_server_timeout(self) -> int:
        """Time limit of a prediction as SAGEMAKER_MODEL_SERVER_TIMEOUT sets it, in seconds."""
        return self._model_server_timeout

    @property
    def model_server_timeout_seconds(self) -> int | None:
        """Time limit of a prediction in seconds; overrides the other one where it is set."""
        return self._model_server_timeout_seconds

    @property
    def model_server_workers(self) -> str | None:
        """Number of workers, as text; None leaves it to the machine."""
        return self._model_server_workers

    @property
    def startup_timeout(self) -> int:
        """Time limit of loading the model, in seconds."""
        return self._startup_timeout

    @property
    def default_accept(self) -> str:
        """What to answer with where the client accepts anything."""
        return self._default_accept

    @property
    def inference_http_port(self) -> str:
        """The port that is served, as text."""
        return self._inference_http_port

    @property
    def management_http_port(self) -> str:
        """The port of the management API in multi-model mode: the one that is served."""
        return self._inference_http_port

    http_port = inference_http_port

    @property
    def safe_port_range(self) -> str | None:
        """Ports that a container may use besides, e.g. "25000-25999"."""
        return self._safe_port_range

    @property
    def vmargs(self) -> str:
        """Further arguments for the Java virtual machine."""
        return self._vmargs

    @property
    def max_request_size(self) -> int | None:
        """Largest request in bytes; None stands for the default of 25 MB."""
        in_mb = self._max_payload_in_mb
        return None if in_mb is None else _variables.bytes_of(in_mb)
