"""Start the server: `serve` for a decorated program, `start_model_server` for a container."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _config, environment, utils
from sagemaker_inference._aws import mms_command, script_functions
from sagemaker_inference._errors import StartError
from sagemaker_inference._inference import assembly, program
from sagemaker_inference._log import configure_logger, get_logger, last_word
from sagemaker_inference._os.child_process import python_command
from sagemaker_inference._program import location, registry
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor import main as supervisor
from sagemaker_inference._supervisor import requirements
from sagemaker_inference._supervisor.settings import ALL_ADDRESSES, settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from sagemaker_inference._program.registry import Registry

logger = get_logger()

DEFAULT_HANDLER_SERVICE: Final = "sagemaker_inference.default_handler_service"
REQUIREMENTS_PATH = str(Path(environment.code_dir, "requirements.txt"))

# What containers import that start Multi Model Server's own command, as Hugging Face's does.
ENABLE_MULTI_MODEL: Final = _config.is_on(_config.MULTI_MODEL)
DEFAULT_MMS_MODEL_NAME: Final = "model"
DEFAULT_MMS_LOG_FILE: Final = mms_command.LOG
DEFAULT_MMS_CONFIG_FILE: Final = mms_command.SINGLE_MODEL
MME_MMS_CONFIG_FILE: Final = mms_command.MULTI_MODEL
MMS_NAMESPACE: Final = mms_command.MAIN_CLASS
if TYPE_CHECKING:
    MMS_CONFIG_FILE: str
_ONE_MODEL: Final = (
    f"{_config.MULTI_MODEL.name} is set, and serve(__name__) serves one model. Leave the "
    "variable out, or start the server for many models with: sagemaker-inference serve"
)


def serve(
    name: str,
    *,
    model_dir: str | os.PathLike[str] | None = None,
    host: str = ALL_ADDRESSES,
    port: int | None = None,
    registry: Registry = registry.default_registry,
) -> None:
    """Serve this program; call it as ``serve(__name__)`` at the end of the file.

    Under ``__main__`` this process becomes the server and does not come back; where the file is
    imported, nothing happens.

    Args:
        name: ``__name__`` of the calling module.
        model_dir: where the model is. When left out: ``model`` in SAGEMAKER_BASE_DIR (/opt/ml)
            where that exists, else ``model`` beside the program, else the program's folder.
        host: address to serve; all by default, as a container must.
        port: port to serve; SAGEMAKER_BIND_TO_PORT or 8080 when left out.
        registry: what the program has registered its handlers with, if not the default.
    """
    caller = sys._getframe(1)  # noqa: SLF001 - the place where registration ends, for messages
    if name != "__main__":
        line = f"{caller.f_code.co_filename}, line {caller.f_lineno}"
        program.note_serve_call(name, registry, line)
        return
    configure_logger()
    if ENABLE_MULTI_MODEL:
        _exit(StartError(_ONE_MODEL))
    try:
        main = Program.from_main()
        script_functions.adopt(registry, sys.modules["__main__"])
        assembly.assemble(registry, main.label)
        settings = settings_from_environment(
            main,
            str(model_dir) if model_dir is not None else _default_model_dir(main),
            host=host,
            port=port,
        )
    except (StartError, TypeError) as error:
        _exit(error)
    # A fresh interpreter: whatever the program has imported leaves this process's memory.
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(  # noqa: S606 - our own interpreter
        sys.executable,
        python_command("sagemaker_inference._supervisor.main", settings.dump()),
    )


def start_model_server(handler_service: str = DEFAULT_HANDLER_SERVICE) -> None:
    """Serve a handler service, and return when the server has stopped.

    Args:
        handler_service: a module or file with a class or function as Multi Model Server takes it;
            by default the program that SAGEMAKER_PROGRAM names in the model's folder ``code``.
            With SAGEMAKER_MULTI_MODEL, it is used for every model that is loaded.

    Raises:
        SystemExit: with the server's exit code, where that is not 0.
    """
    configure_logger()
    try:
        if os.path.exists(REQUIREMENTS_PATH):  # noqa: PTH110 - AWS's containers look for this call
            with _stopping_at_once():
                _install_requirements()
        model_dir = environment.model_dir
        served: Program | str = handler_service
        if handler_service == DEFAULT_HANDLER_SERVICE:
            # Of many models, each brings its own.
            served = "" if ENABLE_MULTI_MODEL else location.find(model_dir)
        settings = settings_from_environment(served, model_dir)
        code = supervisor.run(settings, reap_strangers=os.getpid() == 1)
    except StartError as error:
        _exit(error)
    if code:
        raise SystemExit(code)


def __getattr__(name: str) -> Any:
    # Decided when somebody asks for it: it may take a directory of its own.
    if name != "MMS_CONFIG_FILE":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = mms_command.config_file()
    return globals()[name]


def _install_requirements() -> None:
    """Install the requirements.txt of the code folder.

    Raises:
        RequirementsError: (a ValueError) it failed; the message has the installer's last lines.
    """
    requirements.install(REQUIREMENTS_PATH)


def _set_python_path() -> None:
    """Put the code folder on the path of processes that are started from now on, and of this."""
    code_dir = environment.code_dir
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [folder for folder in before if folder and folder != code_dir]
    os.environ["PYTHONPATH"] = os.pathsep.join([code_dir, *others])
    if code_dir not in sys.path:
        sys.path.insert(0, code_dir)


def _create_model_server_config_file(env: Any, handler_service: str | None = None) -> None:
    """Write the configuration of Multi Model Server's own command to MMS_CONFIG_FILE."""
    multi_model = ENABLE_MULTI_MODEL
    text = mms_command.properties(env, handler_service, multi_model=multi_model)
    utils.write_file(sys.modules[__name__].MMS_CONFIG_FILE, text)


def _retry_retrieve_mms_server_process(startup_timeout: float) -> mms_command.ServerProcess:
    """Find the Java process of Multi Model Server's own command.

    Raises:
        StartError: it is gone, or did not come in so many seconds.
    """
    return mms_command.await_server(startup_timeout)


def _add_sigterm_handler(mms_process: Any) -> None:
    """Pass SIGTERM on to the server."""

    def _terminate(_number: int, _frame: object) -> None:
        try:
            os.kill(mms_process.pid, signal.SIGTERM)
        except OSError:
            logger.debug("the server had ended before SIGTERM came")

    signal.signal(signal.SIGTERM, _terminate)


def _add_sigchild_handler() -> None:
    """Reap processes that others leave behind, and nobody's own."""
    signal.signal(signal.SIGCHLD, lambda _number, _frame: mms_command.reap_orphans())


@contextmanager
def _stopping_at_once() -> Iterator[None]:
    """End this process at SIGTERM or SIGINT, whose default would leave the installer behind."""

    def stop(number: int, _frame: object) -> NoReturn:
        logger.info("%s: stopping; the packages are not installed", signal.Signals(number).name)
        raise SystemExit(0)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _default_model_dir(main: Program) -> str:
    if Path(environment.model_dir).is_dir():
        return environment.model_dir
    # A module's root is the working directory; its folder is where its file is.
    file = getattr(sys.modules["__main__"], "__file__", None)
    folder = Path(file).resolve().parent if file and not main.path else Path(main.root)
    beside = folder / "model"
    return str(beside if beside.is_dir() else folder)


def _exit(error: Exception) -> NoReturn:
    last_word(error)
    sys.exit(1)
