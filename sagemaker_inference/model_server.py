"""Start the server: `serve` for a decorated program, `start_model_server` for a container."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _variables, environment, utils
from sagemaker_inference._aws import mms_command, script_functions
from sagemaker_inference._config import ALL_ADDRESSES
from sagemaker_inference._errors import StartError
from sagemaker_inference._inference import assembly, program
from sagemaker_inference._log import configure_logger, get_logger, last_word
from sagemaker_inference._os import linux, standard_streams
from sagemaker_inference._os.interpreter import python_command
from sagemaker_inference._program import location, registry, unserved
from sagemaker_inference._program.location import Program
from sagemaker_inference._program.registry import IMPORTED_AT

if TYPE_CHECKING:
    from typing import NoReturn

    from sagemaker_inference._program.registry import Registry

# Containers that start the stock command log their own steps, and pip's output, with this logger.
configure_logger()
logger = get_logger()

DEFAULT_HANDLER_SERVICE: Final = "sagemaker_inference.default_handler_service"
REQUIREMENTS_PATH = str(Path(environment.code_dir, "requirements.txt"))

# For containers that start the command multi-model-server themselves, as Hugging Face's does.
ENABLE_MULTI_MODEL: Final = _variables.is_on(_variables.MULTI_MODEL)
DEFAULT_MMS_MODEL_NAME: Final = "model"
DEFAULT_MMS_LOG_FILE: Final = mms_command.LOG
DEFAULT_MMS_CONFIG_FILE: Final = mms_command.SINGLE_MODEL
MME_MMS_CONFIG_FILE: Final = mms_command.MULTI_MODEL
MMS_NAMESPACE: Final = mms_command.MAIN_CLASS
if TYPE_CHECKING:
    MMS_CONFIG_FILE: str
_ONE_MODEL: Final = (
    f"{_variables.MULTI_MODEL.name} is set, but serve(__name__) serves one model. Unset the "
    "variable, or serve many models with: sagemaker-inference serve"
)


def serve(  # noqa: PLR0913 - all by name
    name: str = "",
    *,
    model_dir: str | os.PathLike[str] | None = None,
    host: str = ALL_ADDRESSES,
    port: int | None = None,
    max_concurrent_transforms: int | None = None,
    batch_strategy: str | None = None,
    max_payload_in_mb: int | None = None,
    registry: Registry = registry.default_registry,
) -> None:
    """Serve this program; call it as ``serve(__name__)`` at the end of the file.

    If the file runs as ``__main__``, this process becomes the server and the call does not return;
    if it is imported, nothing happens. A problem is logged and exits with code 1.

    >>> from sagemaker_inference import model_loader, predictor, serve
    >>> def main():
    ...     model_loader(lambda: 2)
    ...     predictor(lambda data, model: data * model)
    ...     serve("__main__", port=8081)

    Args:
        name: ``__name__`` of the calling module.
        model_dir: the folder of the model; by default ``model`` in SAGEMAKER_BASE_DIR (/opt/ml)
            if it exists, else ``model`` beside the program, else the program's folder.
        host: the address to listen on; all addresses by default, which a container needs.
        port: the port to listen on; SAGEMAKER_BIND_TO_PORT or 8080 by default.
        max_concurrent_transforms: how many requests a batch transform job sends at the same time.
        batch_strategy: what it puts into a request: MULTI_RECORD or SINGLE_RECORD.
        max_payload_in_mb: how large a request is at most, in a job and elsewhere.
        registry: the registry with the program's handlers, if not the default one.
    """
    caller = sys._getframe(1)  # noqa: SLF001 - the line where registration ends, for messages
    if not (name and isinstance(name, str)):
        _refuse_call(name, caller.f_globals["__name__"])
    name = program.name_in_worker(name)
    if name != "__main__":
        if name not in sys.modules:
            logger.warning("serve(%r) serves nothing: write serve(__name__)", name)
        line = f"{caller.f_code.co_filename}, line {caller.f_lineno}"
        program.note_serve_call(name, registry, line)
        return
    configure_logger()
    if ENABLE_MULTI_MODEL:
        _exit(StartError(_ONE_MODEL))
    try:
        main = Program.from_main()
        linux.require_for_server(main.label)
        # Not at the top: each worker imports this module with the program's own import of serve.
        from sagemaker_inference._supervisor.settings import settings_from_environment

        script_functions.adopt(registry, sys.modules["__main__"])
        assembly.assemble(registry, main.label)
        settings = settings_from_environment(
            main,
            str(model_dir) if model_dir is not None else _default_model_dir(main),
            host=host,
            port=port,
            max_concurrent_transforms=max_concurrent_transforms,
            batch_strategy=batch_strategy,
            max_payload_in_mb=max_payload_in_mb,
        )
        _check_import(settings.config.startup_timeout)
    except (StartError, TypeError) as error:
        _exit(error)
    # A fresh interpreter frees the memory of what the program has imported.
    standard_streams.flush()
    os.execv(  # noqa: S606 - our own interpreter
        sys.executable,
        python_command("sagemaker_inference._supervisor.main", settings.dump()),
    )


def _refuse_call(name: object, caller: str) -> NoReturn:
    asked = repr(name) if name else ""
    error = TypeError(f"serve({asked}) has to be given the name of its module: serve(__name__)")
    if program.name_in_worker(caller) == "__main__":
        _exit(error)
    # The program is being imported, and what imports it says which line this is.
    raise error


def start_model_server(handler_service: str = DEFAULT_HANDLER_SERVICE) -> None:
    """Serve a handler service, and return when the server has stopped.

    >>> def main():  # the entry point of a container
    ...     start_model_server(handler_service="my_container.handler_service")

    Args:
        handler_service: the module or file of a handler service for Multi Model Server, optionally
            with ":function"; by default the program that SAGEMAKER_PROGRAM names in the model's
            folder ``code``. With SAGEMAKER_MULTI_MODEL, it serves every model that is loaded.

    Raises:
        SystemExit: with the server's exit code, unless that is 0.
    """
    standard_streams.ensure_open()
    configure_logger()
    try:
        linux.require_for_server()
        from sagemaker_inference._supervisor import main
        from sagemaker_inference._supervisor.settings import settings_from_environment

        # AWS's containers look for this call.
        path = REQUIREMENTS_PATH if os.path.exists(REQUIREMENTS_PATH) else ""  # noqa: PTH110
        model_dir = environment.model_dir
        if not ENABLE_MULTI_MODEL and (listed := location.requirements(model_dir)):
            path = str(listed)
        served: Program | str = handler_service
        if handler_service == DEFAULT_HANDLER_SERVICE:
            # Each of many models has its own program, and a package may contain the only one's.
            is_known = not (ENABLE_MULTI_MODEL or path)
            served = location.find(model_dir) if is_known else ""
        settings = settings_from_environment(served, model_dir)
        if path:
            # By the supervisor, so that /ping can say so meanwhile.
            settings = replace(settings, requirements=path)
        code = main.run(settings, reap_strangers=os.getpid() == 1)
    except StartError as error:
        _exit(error)
    if code:
        raise SystemExit(code)


def __getattr__(name: str) -> Any:
    # Computed on access, since it may create a directory.
    if name != "MMS_CONFIG_FILE":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = mms_command.config_file()
    return globals()[name]


def _install_requirements() -> None:
    """Install the requirements.txt of the code folder.

    Raises:
        RequirementsError: (a ValueError) it failed; the message has the last lines of the
            installer.
    """
    from sagemaker_inference._supervisor import requirements

    requirements.install(REQUIREMENTS_PATH)


def _set_python_path() -> None:
    """Put the code folder on the path of this process and of those it starts later."""
    code_dir = environment.code_dir
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [folder for folder in folders if folder and folder != code_dir]
    os.environ["PYTHONPATH"] = os.pathsep.join([code_dir, *others])
    if code_dir not in sys.path:
        sys.path.insert(0, code_dir)


def _create_model_server_config_file(env: Any, handler_service: str | None = None) -> None:
    """Write the configuration of the command multi-model-server to MMS_CONFIG_FILE."""
    multi_model = ENABLE_MULTI_MODEL
    text = mms_command.properties(env, handler_service, multi_model=multi_model)
    utils.write_file(sys.modules[__name__].MMS_CONFIG_FILE, text)


def _retry_retrieve_mms_server_process(startup_timeout: float) -> mms_command.ServerProcess:
    """Find the Java process that the command multi-model-server starts.

    Args:
        startup_timeout: how long to wait for it, in seconds.

    Raises:
        StartError: it has exited, or did not start in time.
    """
    return mms_command.await_server(startup_timeout)


def _add_sigterm_handler(mms_process: Any) -> None:
    """Pass SIGTERM on to the server."""

    def _terminate(_number: int, _frame: object) -> None:
        try:
            os.kill(mms_process.pid, signal.SIGTERM)
        except OSError:
            logger.debug("the server exited before SIGTERM arrived")

    signal.signal(signal.SIGTERM, _terminate)


def _add_sigchild_handler() -> None:
    """Reap orphans that this process inherits."""
    signal.signal(signal.SIGCHLD, _reap_children)


def _reap_children(_number: int, _frame: object) -> None:
    """Reap orphans, but not the children that other code waits for."""
    mms_command.reap_orphans()


def _default_model_dir(main: Program) -> str:
    # The root of a module is the working directory, which need not have its file.
    file = getattr(sys.modules["__main__"], "__file__", None)
    folder = Path(file).resolve().parent if file and not main.path else Path(main.root)
    return location.default_model_dir(environment.model_dir, folder)


def _check_import(limit: float) -> None:
    """Refuse a program that was imported for longer than a start may take.

    Workers import it once more, within the same limit.
    """
    took = monotonic() - IMPORTED_AT
    if took > limit:
        message = (
            f"the program took {took:.0f} s to import, and {_variables.STARTUP_TIMEOUT.name} "
            f"allows {limit:g} s. Raise it, or do less before serve(__name__)."
        )
        raise StartError(message)


def _exit(error: Exception) -> NoReturn:
    if not hasattr(sys.modules["__main__"], "__file__"):
        # In a notebook or at a prompt, SystemExit hides the message, or ends the session.
        raise error
    last_word(error)
    # It has asked to be served: a reminder behind the last word would be wrong.
    unserved.forget()
    sys.exit(1)
