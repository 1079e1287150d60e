"""The options of the handlers of a program, and how many requests it handles at the same time.

Requests to all paths reach the same worker, which serves in one way: one batch at a time, in
threads, or in an event loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError
from sagemaker_inference._log import get_logger
from sagemaker_inference._program.concurrency import ASYNC_LIMIT, Batching, Concurrency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagemaker_inference._config import Config
    from sagemaker_inference._program.registration import Registration


def options(handlers: Sequence[Registration], config: Config) -> dict[str, Batching]:
    """The options of each path; environment variables override those of decorators.

    Args:
        handlers: the predictors and transformers.
        config: what the environment says.

    Raises:
        StartError: the environment enables batches that no predictor takes.
    """
    size, delay = config.max_batch_size, config.max_batch_delay
    are_batched = any(item.batching.max_batch_size > 1 for item in handlers)
    if size not in (None, 0, 1) and not are_batched:
        message = (
            f"{config.max_batch_size_name}={size} enables batches, but the predictor takes one "
            f"request at a time. Write @predictor(max_batch_size={size}) on a predictor that takes "
            "lists, or leave it out."
        )
        raise StartError(message)
    return {
        item.path: replace(
            item.batching,
            max_batch_size=(size or item.batching.max_batch_size)
            if item.batching.max_batch_size > 1
            else 1,
            max_batch_delay=item.batching.max_batch_delay if delay is None else delay,
        )
        for item in handlers
    }


def concurrency(
    handlers: Sequence[Registration],
    batching: Mapping[str, Batching],
    config: Config,
    *,
    are_others_async: bool,
    has_sockets: bool = False,
) -> Concurrency:
    """How a worker serves all paths.

    Args:
        handlers: the predictors and transformers.
        batching: the options of each path.
        config: what the environment says.
        are_others_async: whether a decoder, an encoder or a hook of sessions is.
        has_sockets: whether there are bidirectional handlers, which are async.

    Raises:
        StartError: the handlers need workers that serve in different ways, or the environment says
            how many requests run in an event loop where there is none.
    """
    waiting = [item for item in handlers if item.handler.is_async or item.handler.yields_async]
    blocking = [item for item in handlers if item not in waiting]
    batched = [item for item in handlers if batching[item.path].max_batch_size > 1]
    threaded = [item for item in handlers if batching[item.path].threads > 1]
    alone = [item for item in waiting if item not in batched]
    for some, what in ((batched, "max_batch_size"), (threaded, "threads")):
        others = alone if some is batched else waiting
        if some and others:
            message = (
                f"{some[0].handler} has {what}, and {others[0].handler} is async and has none: a "
                "worker serves all paths in one way, in batches, in threads or in an event loop. "
                f"Remove {what}, or make the async handler a plain def."
            )
            raise StartError(message)
    counts = {batching[item.path].threads for item in blocking}
    if threaded and (batched or len(counts) > 1):
        one = max(blocking, key=lambda item: batching[item.path].threads)
        other = (
            batched[0] if batched else min(blocking, key=lambda item: batching[item.path].threads)
        )
        message = (
            f"{one.handler} has threads={batching[one.path].threads}, and {other.handler} has "
            f"{'max_batch_size' if batched else f'threads={batching[other.path].threads}'}: a "
            "worker calls the handlers of all paths in the same threads. Give all predictors the "
            "same number of threads, or none (a transformer has 1)."
        )
        raise StartError(message)
    is_async = are_others_async or has_sockets or bool(waiting)
    if config.max_concurrency and not (is_async or config.multi_model):
        raise StartError(_not_async(config.max_concurrency))
    if waiting and blocking:
        get_logger().warning(
            "%s is a plain def, and %s is async: while the first one runs, no other request of its "
            "worker goes on. Make it async def, unless it takes but a moment",
            blocking[0].handler,
            waiting[0].handler,
        )
    delays = [batching[item.path].max_batch_delay for item in batched or handlers]
    known = [delay for delay in delays if delay is not None]
    sizes = {path: item.max_batch_size for path, item in batching.items()}
    return Concurrency(
        max_batch_size=max(sizes.values()),
        batch_limits=sizes if batched and len(sizes) > 1 else {},
        max_batch_delay=min(known) if len(known) == len(delays) else None,
        threads=max(counts, default=1),
        repeats_lost=all(item.retry_one_by_one for item in batching.values()),
        is_async=is_async,
        has_sockets=has_sockets,
        max_concurrency=config.max_concurrency or _max_concurrency(waiting, batching),
    )


def _max_concurrency(waiting: Sequence[Registration], batching: Mapping[str, Batching]) -> int:
    """How many requests to all paths run at the same time, by what the async handlers say.

    Raises:
        StartError: they say different things.
    """
    limited = [item for item in waiting if batching[item.path].max_concurrency is not None]
    if not limited:
        return ASYNC_LIMIT
    by_limit = {batching[item.path].max_concurrency: item.handler for item in limited}
    if len(by_limit) > 1:
        (one, first), (other, second) = list(by_limit.items())[:2]
        message = (
            f"{first} has max_concurrency={one}, and {second} has max_concurrency={other}: a "
            "worker handles the requests to all paths in one event loop. Write it on one "
            f"predictor, or the same number on all, or set {_variables.MAX_CONCURRENCY.name}."
        )
        raise StartError(message)
    return next(iter(by_limit)) or ASYNC_LIMIT


def _not_async(limit: int) -> str:
    return (
        f"{_variables.MAX_CONCURRENCY.name}={limit} is for programs with async handlers, and this "
        f"one has none. Write @predictor(threads={limit}) to call a blocking predictor in as many "
        "threads, or leave the variable out."
    )
