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
from typing import TYPE_CHECKING, Any, Final, overload

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._program import paths, registration, roles, signatures, unserved
from sagemaker_inference._program.bidirectional import BidirectionalDecorator
from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._program.registration import HEALTH_INTERVAL, Registration
from sagemaker_inference._program.session_decorators import SessionDecorators
from sagemaker_inference._program.signatures import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagemaker_inference._program.concurrency import Collate, OnBadRecord
    from sagemaker_inference._program.roles import Role
    from sagemaker_inference._program.shapes import (
        LifecycleHandler,
        StepHandler,
        TransformerHandler,
        WarmupHandler,
    )


class Registry(BidirectionalDecorator, SessionDecorators):
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
        path: str = paths.INVOCATIONS,
        /,
        *,
        max_batch_size: int = 1,
        max_batch_delay: float | None = None,
        collate: Collate = "list",
        retry_one_by_one: bool = True,
        threads: int = 1,
        batch_sizes: Sequence[int] = (),
        on_bad_record: OnBadRecord = "fail",
        max_concurrency: int | None = None,
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

        With a path, it answers requests to that path beside those to ``/invocations``:
        ``@registry.predictor("/v1/chat/completions")``.

        Args:
            function: the predictor, where the decorator is used without parentheses; or a path.
            **options: the attributes of `Batching`.

        Raises:
            RegistrationError: an option is unknown or out of range, the path is malformed or the
                platform's, the function cannot be called with these arguments, or a predictor or a
                transformer is already registered for the path.
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
    def transformer(
        self, path: str = paths.INVOCATIONS, /
    ) -> Callable[[TransformerHandler], TransformerHandler]: ...
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

        With a path, it answers requests to that path, as a predictor with one does.

        Raises:
            RegistrationError: the path is malformed or the platform's, the function cannot be
                called with these arguments, or a transformer, decoder, predictor or encoder is
                already registered.
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
        if problem := self._exclusion(new):
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
        path = paths.INVOCATIONS
        if role.may_have_path and isinstance(function, (str, bytes)):
            path, function = paths.checked(role.name, function), None
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
            if problem := registration.problem_of_options(handler, batching):
                message = f"@{role.name} is on {handler}, {problem}"
                raise RegistrationError(message)
            self.add(Registration(handler, (), batching, path=path))
            return function

        return register if function is None else register(function)

    def _exclusion(self, new: Registration) -> str | None:
        role = new.handler.role
        steps = (roles.DECODER, roles.PREDICTOR, roles.ENCODER)
        if role not in (*steps, roles.TRANSFORMER):
            return None
        for other in steps if role is roles.TRANSFORMER else (roles.TRANSFORMER,):
            for existing in self.find(other):
                if self._can_combine(existing, new):
                    continue
                return (
                    f"cannot be combined with the {other.name} {existing.handler}. A transformer "
                    "handles a request from body to response: keep either the transformer, or "
                    "decoder, predictor and encoder."
                )
        return None

    def _can_combine(self, one: Registration, other: Registration) -> bool:
        """Whether a transformer and another step can be parts of one program.

        Each path has one of predictor and transformer; decoders and encoders are for the predictors
        of all paths.
        """
        if roles.PREDICTOR in (one.handler.role, other.handler.role):
            return one.path != other.path
        transformer = one if one.handler.role is roles.TRANSFORMER else other
        return transformer.path != paths.INVOCATIONS or bool(self.find(roles.PREDICTOR))


default_registry: Final = Registry()
# By the monotonic clock: programs import this package among the first.
IMPORTED_AT: Final = monotonic()
