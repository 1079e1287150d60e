"""A registered handler with the options of its decorator, and how two of them conflict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._program.paths import INVOCATIONS

if TYPE_CHECKING:
    from sagemaker_inference._program.bidirectional import SocketOptions
    from sagemaker_inference._program.signatures import Handler

# Seconds between two health checks of a worker, if the program does not say.
HEALTH_INTERVAL: Final = 10.0


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler and the options of its decorator.

    Attributes:
        handler: the function and how to call it.
        content_types: what a decoder reads or an encoder writes; empty for other roles.
        batching: how a predictor receives requests; the default for other roles.
        interval: seconds between two calls of a health check; not used for other roles.
        socket: what messages a bidirectional handler takes; None for other roles.
        is_script: whether it is a script function of AWS's toolkit. It is already adapted to the
            calling shape of its decorated sibling, so nothing asks while a request is handled.
        path: whose requests a predictor or a transformer answers; not used for other roles.
    """

    handler: Handler
    content_types: tuple[str, ...] = ()
    batching: Batching = field(default_factory=Batching)
    interval: float = HEALTH_INTERVAL
    is_script: bool = False
    path: str = INVOCATIONS
    socket: SocketOptions | None = None


def overlap(existing: Registration, new: Registration) -> bool:
    """Whether only one of the two can be registered."""
    if existing.handler.role is not new.handler.role or existing.path != new.path:
        return False
    if existing.socket is not None and new.socket is not None:
        return existing.socket.path == new.socket.path
    return not new.content_types or bool({*existing.content_types} & {*new.content_types})


def is_same_function(existing: Handler, new: Handler) -> bool:
    """Whether a function is registered again: after a reload, or by a notebook cell run twice."""
    if existing.function is new.function:
        return True
    (old_module, old_name), (module, name) = (
        (
            getattr(handler.function, "__module__", None),
            getattr(handler.function, "__qualname__", ""),
        )
        for handler in (existing, new)
    )
    is_named = name != "" and not name.endswith("<lambda>")
    # A file may be imported under its name besides __main__ or, in a child, __mp_main__.
    is_main = "__main__" in (old_module, module) or "__mp_main__" in (old_module, module)
    is_same_file = is_main and _file(existing) == _file(new) != ""
    return is_named and old_name == name and (old_module == module or is_same_file)


def _file(handler: Handler) -> str:
    return str(getattr(getattr(handler.function, "__code__", None), "co_filename", ""))


def conflict(existing: Registration, new: Registration) -> str:
    """The message for two that overlap."""
    if new.is_script:  # only one of the two has a decorator to name
        existing, new = new, existing
    shared = [name for name in new.content_types if name in existing.content_types]
    if new.path != INVOCATIONS:
        shared = [new.path]
    decorator = f"@{new.handler.role.name}" + (f'("{shared[0]}")' if shared else "")
    script = "the script function " if existing.is_script else ""
    return (
        f"{decorator} on {new.handler} conflicts with {script}{existing.handler}. "
        "Keep one of the two and remove the other."
    )


def problem_of_options(handler: Handler, batching: Batching) -> str | None:
    """Why a function cannot have these options; None if it can."""
    is_async = handler.is_async or handler.yields_async
    if (handler.yields or handler.yields_async) and batching.max_batch_size > 1:
        if batching.collate != "list" or batching.batch_sizes:
            return (
                "which yields lists of items, one for each request of the batch. Remove collate "
                "and batch_sizes, and stack or pad the inputs in it."
            )
    elif is_async and batching.max_batch_size > 1:
        return (
            "which is async and runs concurrently without options. Remove max_batch_size, or make "
            "it a plain def or a generator."
        )
    if is_async and batching.threads > 1:
        return (
            "which is async and runs concurrently without options. Remove threads, or make it a "
            "plain def."
        )
    if batching.max_concurrency is not None and not is_async:
        return (
            "which is not async. Write async def, or threads=N in place of max_concurrency=N to "
            "call it in N threads."
        )
    return None
