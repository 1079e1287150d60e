"""The decorators, and the handlers they have registered.

A registry is a value. The decorators that ``sagemaker_inference`` exports are the bound methods of
`default_registry`. Create a `Registry` for a second program in the same process, or isolate an
import with ``with default_registry.isolated():``.

Registration comes first, then serving: a registry that serves is closed and rejects decorators.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields, replace
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._program import registration, roles, signatures, unserved
from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._program.registration import HEALTH_INTERVAL, Registration
from sagemaker_inference._program.signatures import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagemaker_inference._program.concurrency import Collate, OnBadRecord
    from sagemaker_inference._program.roles import Role

    class _OneAndContext(Protocol):
        def __call__(self, first: Any, /, *, context: Any) -> Any: ...

    class _TwoAndContext(Protocol):
        def __call__(self, first: Any, second: Any, /, *, context: Any) -> Any: ...

    _Zero = Callable[[], Any]
    _One = Callable[[Any], Any]
    _Two = Callable[[Any, Any], Any]
    _Three = Callable[[Any, Any, Any], Any]
    _Four = Callable[[Any, Any, Any, Any], Any]
    _Five = Callable[[Any, Any, Any, Any, Any], Any]

    # The bounds mirror the arguments of roles.Role: a type checker rejects, at the decorator, what
    # the registry would reject, and the decorated function keeps its type.
    LifecycleHandler = TypeVar("LifecycleHandler", bound=_Zero | _One | _Two | _OneAndContext)
    WarmupHandler = TypeVar(
        "WarmupHandler", bound=_Zero | _One | _Two | _Three | _OneAndContext | _TwoAndContext
    )
    StepHandler = TypeVar(
        "StepHandler", bound=_One | _Two | _Three | _OneAndContext | _TwoAndContext
    )
    TransformerHandler = TypeVar(
        "TransformerHandler", bound=_Two | _Three | _Four | _Five | _TwoAndContext
    )


class Registry:
    """The handlers of one program; the decorators are its methods.

    >>> registry = Registry()
    >>> @registry.model_loader
    ... def load(model_dir):
    ...     return {"a": 1}
    >>> load("/opt/ml/model")
    {'a': 1}
    """

    def __init__(self) -> None:
        self._registrations: list[Registration] = []
        self._closed_by: str | None = None

    @overload
    def model_loader(self, function: LifecycleHandler, /) -> LifecycleHandler: ...
    @overload
    def model_loader(self, /) -> Callable[[LifecycleHandler], LifecycleHandler]: ...
    def model_loader(self, function: Any = None, /) -> Any:
        """Register the function that loads the model: ``load(model_dir, context) -> model``.

        It runs once in each worker, before requests arrive. ``model_dir`` is a str. What it returns
        is passed to the predictor or the transformer; an exception aborts startup.

        >>> registry = Registry()
        >>> @registry.model_loader
        ... def load(model_dir):
        ...     return joblib.load(f"{model_dir}/model.joblib")

        Raises:
            RegistrationError: the function cannot be called with these arguments, or another
                model loader is registered.
        """
        return self._decorate(roles.MODEL_LOADER, function)

    def decoder(self, *types: str) -> Callable[[StepHandler], StepHandler]:
        """Register a reader of request bodies: ``read(body, content_type, context) -> data``.

        ``body`` is bytes unless the parameter is annotated: ``str`` decodes it by its charset,
        ``memoryview`` avoids the copy. ``content_type`` is the header as sent, "" if absent.
        A program's decoder overrides the built-in one.

        >>> registry = Registry()
        >>> @registry.decoder("text/x-points")
        ... def read_points(body: str):
        ...     return [[float(number) for number in line.split()] for line in body.splitlines()]
        >>> read_points("1 2")
        [[1.0, 2.0]]

        Args:
            types: content types without parameters; wildcards are allowed (``"image/*"``).

        Raises:
            RegistrationError: no content type is named, the function cannot be called with these
                arguments, or one of the types already has a decoder.
        """
        return self._typed(roles.DECODER, types)

    @overload
    def predictor(self, function: StepHandler, /) -> StepHandler: ...
    @overload
    def predictor(
        self,
        /,
        *,
        max_batch_size: int = 1,
        max_batch_delay: float | None = None,
        collate: Collate = "list",
        retry_one_by_one: bool = True,
        threads: int = 1,
        batch_sizes: Sequence[int] = (),
        on_bad_record: OnBadRecord = "fail",
    ) -> Callable[[StepHandler], StepHandler]: ...
    def predictor(self, function: Any = None, /, **options: Any) -> Any:
        """Register the function that predicts: ``predict(data, model, context) -> prediction``.

        ``data`` is what the decoder returned or, without one, what the built-in codec reads: for
        CSV a float array of shape (rows, columns), for JSON arrays of numbers an array of their
        shape. An annotation of ``data`` chooses another type.

        With ``max_batch_size`` above 1, ``data`` and ``context`` are lists with one item per
        request, and the predictor returns as many predictions.

        >>> registry = Registry()
        >>> @registry.predictor(max_batch_size=32)
        ... def predict(batch, model):
        ...     return [model * data for data in batch]
        >>> predict([1, 2], 3)
        [3, 6]

        Args:
            function: the predictor, where the decorator is used without parentheses.
            **options: the attributes of `Batching`.

        Raises:
            RegistrationError: an option is unknown or out of range, the function cannot be called
                with these arguments, or a predictor or a transformer is already registered.
        """
        return self._decorate(roles.PREDICTOR, function, **options)

    def encoder(self, *types: str) -> Callable[[StepHandler], StepHandler]:
        """Register a writer of response bodies: ``write(prediction, accept, context) -> body``.

        ``accept`` is the negotiated content type. The body is bytes or str, or a tuple of the body
        and another content type. A program's encoder overrides the built-in one.

        >>> registry = Registry()
        >>> @registry.encoder("text/html")
        ... def write_html(prediction):
        ...     return f"<p>{prediction}</p>"
        >>> write_html("cat")
        '<p>cat</p>'

        Args:
            types: content types without parameters; wildcards are allowed (``"image/*"``).

        Raises:
            RegistrationError: no content type is named, the function cannot be called with these
                arguments, or one of the types already has an encoder.
        """
        return self._typed(roles.ENCODER, types)

    @overload
    def transformer(self, function: TransformerHandler, /) -> TransformerHandler: ...
    @overload
    def transformer(self, /) -> Callable[[TransformerHandler], TransformerHandler]: ...
    def transformer(self, function: Any = None, /) -> Any:
        """Register decoder, predictor and encoder in one.

        Its shape is ``transform(model, body, content_type, accept, context) -> body``. ``body`` is
        bytes unless annotated, as for a decoder. It returns bytes or str, or a tuple of the body
        and its content type.

        >>> registry = Registry()
        >>> @registry.transformer
        ... def transform(model, body: str):
        ...     return body.upper(), "text/plain"
        >>> transform(None, "cat")
        ('CAT', 'text/plain')

        Raises:
            RegistrationError: the function cannot be called with these arguments, or a
                transformer, decoder, predictor or encoder is already registered.
        """
        return self._decorate(roles.TRANSFORMER, function)

    @overload
    def before_load(self, function: LifecycleHandler, /) -> LifecycleHandler: ...
    @overload
    def before_load(self, /) -> Callable[[LifecycleHandler], LifecycleHandler]: ...
    def before_load(self, function: Any = None, /) -> Any:
        """Register a hook that runs before the model is loaded: ``prepare(model_dir, context)``.

        It runs once in each worker; an exception aborts startup.

        >>> registry = Registry()
        >>> @registry.before_load
        ... def prepare():
        ...     torch.set_num_threads(1)

        Raises:
            RegistrationError: the function cannot be called with these arguments, or another
                such hook is registered.
        """
        return self._decorate(roles.BEFORE_LOAD, function)

    @overload
    def warmup(self, function: WarmupHandler, /) -> WarmupHandler: ...
    @overload
    def warmup(self, /) -> Callable[[WarmupHandler], WarmupHandler]: ...
    def warmup(self, function: Any = None, /) -> Any:
        """Register a hook that runs after loading: ``warm(model_dir, model, context)``.

        It runs once in each worker, before requests arrive; an exception aborts startup.

        >>> registry = Registry()
        >>> @registry.warmup
        ... def warm(model_dir, model):
        ...     model.predict([[0.0] * 4])

        Raises:
            RegistrationError: the function cannot be called with these arguments, or another
                such hook is registered.
        """
        return self._decorate(roles.WARMUP, function)

    @overload
    def health_check(self, function: LifecycleHandler, /) -> LifecycleHandler: ...
    @overload
    def health_check(
        self, /, *, interval: float = HEALTH_INTERVAL
    ) -> Callable[[LifecycleHandler], LifecycleHandler]: ...
    def health_check(self, function: Any = None, /, *, interval: float = HEALTH_INTERVAL) -> Any:
        """Register a check of the model: ``check(model, context)``.

        Each worker calls it between requests, at most once in ``interval`` seconds, also while
        there are none. If it returns False or raises, the worker is replaced.

        >>> registry = Registry()
        >>> @registry.health_check(interval=30)
        ... def check(model):
        ...     return model.gpu_is_there()

        Args:
            function: the check, where the decorator is used without parentheses.
            interval: seconds from the end of a call to the next one.

        Raises:
            RegistrationError: the interval is not a number above 0, the function cannot be called
                with these arguments, is async, or another health check is registered.
        """
        is_number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
        if not (is_number and 0 < interval < inf):
            message = f"@health_check: interval must be a number of seconds > 0, got {interval!r}."
            raise RegistrationError(message)

        def register(function: Any) -> Any:
            handler = Handler.from_function(roles.HEALTH_CHECK, function)
            self.add(Registration(handler, interval=float(interval)))
            return function

        return register if function is None else register(function)

    @overload
    def on_shutdown(self, function: LifecycleHandler, /) -> LifecycleHandler: ...
    @overload
    def on_shutdown(self, /) -> Callable[[LifecycleHandler], LifecycleHandler]: ...
    def on_shutdown(self, function: Any = None, /) -> Any:
        """Register a hook that runs when the server stops: ``clean_up(model, context)``.

        It runs once in each worker; an exception is logged.

        >>> registry = Registry()
        >>> @registry.on_shutdown
        ... def clean_up(model):
        ...     model.close()

        Raises:
            RegistrationError: the function cannot be called with these arguments, or another
                such hook is registered.
        """
        return self._decorate(roles.ON_SHUTDOWN, function)

    def add(self, new: Registration) -> None:
        """Add a registration that was made without a decorator of this registry.

        Registering the same function again replaces it.

        Raises:
            RegistrationError: it conflicts with another registration, or the registry is closed.
        """
        role = new.handler.role
        if self._closed_by is not None:
            message = (
                f"@{role.name} on {new.handler} was registered after {self._closed_by}. "
                "Register handlers at the top level of the program, above serve(__name__)."
            )
            raise RegistrationError(message)
        replaced = [
            existing for existing in self._registrations if registration.overlap(existing, new)
        ]
        for existing in replaced:
            if not registration.is_same_function(existing.handler, new.handler):
                raise RegistrationError(registration.conflict(existing, new))
        if problem := self._exclusion(role):
            message = f"@{role.name} on {new.handler} {problem}"
            raise RegistrationError(message)
        kept = [existing for existing in self._registrations if existing not in replaced]
        unserved.watch(self, new.handler.function)
        self._registrations = [*kept, new]

    def find(self, role: Role) -> list[Registration]:
        """The registrations of ``role``, in the order they were made."""
        return [item for item in self._registrations if item.handler.role is role]

    def close(self, reason: str) -> None:
        """Reject registrations from now on; ``reason`` completes "was registered after ..."."""
        self._closed_by = reason

    @property
    def is_closed(self) -> bool:
        """Whether registrations are rejected, since its program serves."""
        return self._closed_by is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is registered."""
        return not self._registrations

    def reset(self) -> None:
        """Become empty and open, for another program in the same process."""
        self._registrations, self._closed_by = [], None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Restore the registrations if the block raises, so that it can be tried again."""
        saved = self._registrations, self._closed_by
        try:
            yield
        except BaseException:
            self._registrations, self._closed_by = saved
            raise

    @contextmanager
    def isolated(self) -> Iterator[Registry]:
        """Be empty and open within the block, and restore the registrations after it."""
        saved = self._registrations, self._closed_by
        self.reset()
        try:
            yield self
        finally:
            self._registrations, self._closed_by = saved

    def _typed(self, role: Role, types: tuple[Any, ...]) -> Callable[[StepHandler], StepHandler]:
        if not types or not all(isinstance(name, str) and "/" in name for name in types):
            is_bare = bool(types) and callable(types[0])
            argument = signatures.describe(types[0]) if is_bare else repr(types)
            message = (
                f"@{role.name} needs content types, got {argument}. "
                f'Write: @{role.name}("application/json"), or "*/*" for all.'
            )
            raise RegistrationError(message)

        def register(function: StepHandler) -> StepHandler:
            names = tuple(content_types.parse(name).name for name in types)
            handler = Handler.from_function(role, function, checks_names=True)
            self.add(Registration(handler, names))
            return function

        return register

    def _decorate(self, role: Role, function: Any, **options: Any) -> Any:
        unknown = options.keys() - {item.name for item in fields(Batching)}
        if unknown:
            message = (
                f"@{role.name} has no option {', '.join(sorted(unknown))}. "
                f"Its options are {', '.join(item.name for item in fields(Batching))}."
            )
            raise RegistrationError(message)
        batching = Batching(**options)
        if problem := batching.problem():
            message = f"@{role.name}: {problem}."
            raise RegistrationError(message)
        if batching.batch_sizes and "max_batch_size" not in options:
            batching = replace(batching, max_batch_size=batching.batch_sizes[-1])

        def register(function: Any) -> Any:
            handler = Handler.from_function(role, function, checks_names=True)
            if problem := _conflict(handler, batching):
                message = f"@{role.name} is on {handler}, {problem}"
                raise RegistrationError(message)
            self.add(Registration(handler, (), batching))
            return function

        return register if function is None else register(function)

    def _exclusion(self, role: Role) -> str | None:
        parts = (roles.DECODER, roles.PREDICTOR, roles.ENCODER)
        others = parts if role is roles.TRANSFORMER else (roles.TRANSFORMER,)
        if role not in (*parts, roles.TRANSFORMER):
            return None
        for other in others:
            for existing in self.find(other):
                return (
                    f"cannot be combined with the {other.name} {existing.handler}. A transformer "
                    "handles a request from body to response: keep either the transformer, or "
                    "decoder, predictor and encoder."
                )
        return None


def _conflict(handler: Handler, batching: Batching) -> str | None:
    """Why a function cannot have these options; None if it can."""
    if (handler.yields or handler.yields_async) and batching.max_batch_size > 1:
        return (
            "which yields the items of one request's response, and cannot take several requests at "
            "once. Remove max_batch_size, or return a list of predictions."
        )
    if (handler.is_async or handler.yields_async) and max(
        batching.threads, batching.max_batch_size
    ) > 1:
        return (
            "which is async and runs concurrently without options. Remove threads and "
            "max_batch_size, or make it a plain def."
        )
    return None


default_registry: Final = Registry()
# By the monotonic clock: programs import this package among the first.
IMPORTED_AT: Final = monotonic()
