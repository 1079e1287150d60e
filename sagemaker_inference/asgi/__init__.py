"""A program as an ASGI application, in this process: for tests, laptops and other people's servers.

>>> from sagemaker_inference import Registry, asgi
>>> registry = Registry()
>>> load = registry.model_loader(lambda: 2)
>>> double = registry.predictor(lambda data, model: data * model)
>>> application = asgi.app(registry)

It answers what the server answers, by the same code, with one model in place of workers. Run it
with any ASGI server: ``uvicorn module:application``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference.asgi._application import Application
from sagemaker_inference.asgi._source import source_of

if TYPE_CHECKING:
    import os
    from types import ModuleType

    from sagemaker_inference._program.registry import Registry

__all__ = ["Application", "app"]


def app(
    program: str | os.PathLike[str] | ModuleType | Registry,
    *,
    model_dir: str | os.PathLike[str] | None = None,
    docs: bool = False,
) -> Application:
    """Create the ASGI application of a program.

    Its lifespan imports the program, loads the model and warms up. Where a server or a client has
    no lifespan, the first request does, and waits for that.

    >>> from sagemaker_inference import Registry
    >>> registry = Registry()
    >>> load = registry.model_loader(lambda: 2)
    >>> double = registry.predictor(lambda data, model: data * model)
    >>> application = app(registry)  # uvicorn module:application

    Args:
        program: the program's file, its module, or the registry with its handlers.
        model_dir: the folder of the model; by default where `serve` looks for it.
        docs: whether ``GET /openapi.json`` is answered with what `sagemaker-inference schema` says
            of the program.

    Raises:
        StartError: there is no such file.
    """
    return Application(source_of(program), model_dir, has_docs=docs)
