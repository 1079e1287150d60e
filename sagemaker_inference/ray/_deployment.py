"""A program as an application of Ray Serve."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import StartError
from sagemaker_inference.ray._library import needed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ray.serve import Application  # pyright: ignore[reportMissingImports]

# Ray's own are for programs that answer one request after the other: 5 at a time, and a queue
# without an end.
DEFAULTS: Final[Mapping[str, Any]] = {
    # Enough for a batch that is predicted and one that forms.
    "max_ongoing_requests": 64,
    "max_queued_requests": 100,
    "backpressure_config": {"status_code": 429, "retry_after_s": 1},
    # SageMaker, and Kubernetes by default, kill 30 s after SIGTERM.
    "graceful_shutdown_timeout_s": 25,
}
# Ray calls deployments in a thread of their own, which may block. What it calls here never does:
# the model has a thread. With Ray's as well, each request would change threads two times more.
_ONE_LOOP: Final[Mapping[str, str]] = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0"}
_FAILED: Final = "DEPLOY_FAILED"
_ODD: Final = re.compile(r"[^A-Za-z0-9_-]+")
_ARGUMENTS: Final = ("program", "model_dir")


def deployment(
    program: str | os.PathLike[str],
    *,
    model_dir: str | os.PathLike[str] | None = None,
    num_replicas: int | str | None = None,
    autoscaling_config: Mapping[str, Any] | None = None,
    http: bool = True,
    **options: Any,
) -> Application:
    """A program as an application of Ray Serve, for `run`, ``serve.run`` and graphs.

    >>> from sagemaker_inference.ray import deployment, run
    >>> handle = run(deployment("inference.py", num_replicas=2))  # doctest: +SKIP
    >>> handle.predict.remote([[5.1, 3.5, 1.4, 0.2]]).result()  # doctest: +SKIP

    Each replica is a process that imports the program and loads the model. It answers over HTTP
    what the server answers, and `handle.predict.remote(data)` without HTTP. Programs are found by
    their path on the machine of the replica: below the working directory of ``runtime_env``, or
    where the path says. ``user_config`` has the options of batches, see `docs/scaling.md`.

    Args:
        program: the program's file.
        model_dir: the folder of the model; by default where `serve` looks for it.
        num_replicas: how many processes, or "auto".
        autoscaling_config: how many of them, by load; see Ray's `AutoscalingConfig`.
        http: False where only handles reach it, as in a graph: of the deployments of an
            application, Ray takes one with HTTP.
        options: further options of ``serve.deployment``, as ``ray_actor_options`` for CPUs and
            GPUs. By default, a replica has 64 requests at a time, and 100 wait; those beyond get
            429. The name is that of the file.

    Raises:
        StartError: Ray is not installed.
        TypeError: Ray knows no such option.
    """
    serve = needed("ray.serve")
    # Its modules are imported where a replica is, and not pickled.
    from sagemaker_inference.ray._replica import InnerReplica, Replica

    file = os.fspath(program)
    model = None if model_dir is None else os.fspath(model_dir)
    actor_options = _in_one_loop(options.get("ray_actor_options") or {})
    chosen = {"name": name_of(file), **DEFAULTS, **options, "ray_actor_options": actor_options}
    if num_replicas is not None:
        chosen["num_replicas"] = num_replicas
    if autoscaling_config is not None:
        chosen["autoscaling_config"] = dict(autoscaling_config)
    made = serve.deployment(**chosen)(serve.ingress()(Replica) if http else InnerReplica)
    elsewhere = (str(Path(file).resolve()), None if model is None else str(Path(model).resolve()))
    found: Application = made.bind(file, model, elsewhere)
    return found


def run(application: Application, *, name: str = "default", **options: Any) -> Any:
    """``serve.run``, whose error has the cause: Ray's own has the name of the deployment.

    >>> from sagemaker_inference.ray import deployment, run
    >>> handle = run(deployment("inference.py"))  # doctest: +SKIP

    Args:
        application: what `deployment` returns, or a graph with some of these.
        name: the name of the application.
        options: further options of ``serve.run``.

    Returns:
        The handle of the application.

    Raises:
        StartError: a deployment cannot start, such as a program that cannot be loaded.
    """
    serve = needed("ray.serve")
    try:
        return serve.run(application, name=name, **options)
    except RuntimeError as error:
        status = serve.status().applications.get(name)
        deployments = status.deployments.values() if status else ()
        causes = [each.message for each in deployments if each.status == _FAILED]
        raise StartError("\n".join((str(error), *causes))) from None


def _in_one_loop(actor_options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with `_ONE_LOOP` among the variables of replicas unless they say otherwise."""
    runtime_env = actor_options.get("runtime_env") or {}
    variables = {**_ONE_LOOP, **(runtime_env.get("env_vars") or {})}
    return {**actor_options, "runtime_env": {**runtime_env, "env_vars": variables}}


def name_of(program: str) -> str:
    """The name of a program's deployment: that of its file."""
    return _ODD.sub("-", Path(program).stem)


def app(arguments: dict[str, Any]) -> Application:
    """The application of a config file of Ray Serve, which names it by its import path.

    ``import_path: sagemaker_inference.ray:app``, with ``program`` and, if it is wanted,
    ``model_dir`` as ``args``. ``sagemaker-inference ray inference.py --write config.yaml`` writes
    such a file.

    >>> from sagemaker_inference.ray import app
    >>> application = app({"program": "inference.py"})  # doctest: +SKIP

    Args:
        arguments: what the file has as ``args``.

    Raises:
        StartError: there is no program, or something else.
    """
    unknown = sorted(arguments.keys() - set(_ARGUMENTS))
    if unknown or "program" not in arguments:
        what = f"there is {unknown[0]}" if unknown else "there is no program"
        message = f"args of sagemaker_inference.ray:app are program and model_dir; {what}"
        raise StartError(message)
    return deployment(arguments["program"], model_dir=arguments.get("model_dir"))
