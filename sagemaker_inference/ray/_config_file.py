"""The config file of Ray Serve for a program."""

from __future__ import annotations

from typing import Any, Final

from sagemaker_inference.ray._deployment import DEFAULTS, name_of
from sagemaker_inference.ray._library import needed

_IMPORT_PATH: Final = "sagemaker_inference.ray:app"


def config_file(program: str, *, model_dir: str | None, replicas: int, host: str, port: int) -> str:
    """The config file that ``serve deploy``, ``serve run`` and AWS's Ray container take, as YAML.

    Args:
        program: the program's file, where replicas find it.
        model_dir: the folder of the model, or None.
        replicas: how many processes.
        host: the address on which Ray's proxies listen.
        port: their port.

    Raises:
        StartError: Ray Serve is not installed.
        ValueError: Ray would not take it; the message is Ray's.
    """
    schema = needed("ray.serve.schema")
    # What Ray itself needs.
    import yaml

    name = name_of(program)
    arguments = {"program": program}
    if model_dir is not None:
        arguments["model_dir"] = model_dir
    document: dict[str, Any] = {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port},
        "applications": [
            {
                "name": name,
                "route_prefix": "/",
                "import_path": _IMPORT_PATH,
                "args": arguments,
                "deployments": [{"name": name, "num_replicas": replicas, **DEFAULTS}],
            }
        ],
    }
    schema.ServeDeploySchema.model_validate(document)
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text
