"""The decorators, and what they have registered.

A registry is a value. The decorators that ``sagemaker_inference`` exports are the bound methods of
`default_registry`; make your own `Registry` for a second program in one process, or guard an import
with ``with default_registry.isolated():``.

Set-up comes first, then serving: a registry that serves is closed, and a late decorator is refused.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._program import roles, signatures
from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._program.signatures import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagemaker_inference._program.concurrency import Collate
    from sagemaker_inference._program.roles import Role

    class _Context1(Protocol):
        def __call__(self, first: Any, /, *, context: Any) -> Any: ...

    class _Context2(Protocol):
        def __call__(self, first: Any, second: Any, /, *, context: Any) -> Any: ...

    _Nothing = Callable[[], Any]
    _One = Callable[[Any], Any]
    _Two = Callable[[Any, Any], Any]
    _Three = Callable[[Any, Any, Any], Any]
    _Four = Callable[[Any, Any, Any, Any], Any]
    _Five = Callable[[Any, Any, Any, Any, Any], Any]

    # The bounds are the shapes of roles.Role: type checkers refuse a handler that the registry
    # would refuse, at the decorator, and keep the function's own type.
    Hook = TypeVar("Hook", bound=_Nothing | _One | _Two | _Context1)
    Hook3 = TypeVar("Hook3", bound=_Nothing | _One | _Two | _Three | _Context1 | _Context2)
    Middle = TypeVar("Middle", bound=_One | _Two | _Three | _Context1 | _Context2)
    Whole = TypeVar("Whole", bound=_Two | _Three | _Four | _Five | _Context2)


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler and what its decorator was told.

    Attributes:
        handler: the function, and how it is called.
        content_types: what a decoder reads or an encoder writes; empty for other roles.
        batching: how a predictor is fed; the default for other roles.
        is_script: whether it is a script function of AWS's toolkit. It is adapted to the calling
            shape of its decorated sibling, and so the path of a request does not ask.
    """

    handler: Handler
    content_types: tuple[str, ...] = ()
    batching: Batching = field(default_factory=Batching)
    is_script: bool = False


class Registry:
    """What one program has registered; its decorators are its methods."""

    def __init__(self) -> None:
        self._found: list[Registration] = []
        self._closed_by: str | None = None

    @overload
    def model_loader(self, function: Hook, /) -> Hook: ...
    @overload
    def model_loader(self, /) -> Callable[[Hook], Hook]: ...
    def model_loader(self, function: Any = None, /) -> Any:
        """Register what loads the model: ``load(model_dir, context) -> model``.

        ``model_dir`` is a str. Called once per model process, before the port opens.
        """
        return self._decorate(roles.MODEL_LOADER, function)

    def decoder(self, *types: str) -> Callable[[Middle], Middle]:
        """Register what reads bodies of these types: ``read(body, content_type, context) -> data``.

        ``body`` is bytes; str where the parameter is annotated so (the charset is honoured), and
        a memoryview without a copy where it is annotated ``memoryview``. Types may be wildcards:
        ``@decoder("image/*")``. A program's own decoder goes before a built-in one.
        """
        return self._typed(roles.DECODER, types)

    @overload
    def predictor(self, function: Middle, /) -> Middle: ...
    @overload
    def predictor(
        self,
        /,
        *,
        max_batch_size: int = 1,
        max_batch_delay: float = 0.0,
        collate: Collate = "list",
        retry_one_by_one: bool = True,
        threads: int = 1,
    ) -> Callable[[Middle], Middle]: ...
    def predictor(self, function: Any = None, /, **options: Any) -> Any:
        """Register what predicts: ``predict(data, model, context) -> prediction``.

        With ``max_batch_size`` above 1 it gets lists (of data, and of contexts) and returns as many
        predictions; see `Batching` for this and the other options.
        """
        return self._decorate(roles.PREDICTOR, function, **options)

    def encoder(self, *types: str) -> Callable[[Middle], Middle]:
        """Register what writes these types: ``write(prediction, accept, context) -> body``.

        ``accept`` is the content type agreed on. The body is bytes or str, or a tuple of the body
        and another content type.
        """
        return self._typed(roles.ENCODER, types)

    @overload
    def transformer(self, function: Whole, /) -> Whole: ...
    @overload
    def transformer(self, /) -> Callable[[Whole], Whole]: ...
    def transformer(self, function: Any = None, /) -> Any:
        """Register the whole path: ``transform(model, body, content_type, accept, context)``.

        Takes the place of decoder, predictor and encoder. It returns a body, or a tuple of the
        body and its content type.
        """
        return self._decorate(roles.TRANSFORMER, function)

    @overload
    def before_load(self, function: Hook, /) -> Hook: ...
    @overload
    def before_load(self, /) -> Callable[[Hook], Hook]: ...
    def before_load(self, function: Any = None, /) -> Any:
        """Register what runs before the model is loaded: ``prepare(model_dir, context)``."""
        return self._decorate(roles.BEFORE_LOAD, function)

    @overload
    def warmup(self, function: Hook3, /) -> Hook3: ...
    @overload
    def warmup(self, /) -> Callable[[Hook3], Hook3]: ...
    def warmup(self, function: Any = None, /) -> Any:
        """Register what runs once after loading: ``warm(model_dir, model, context)``."""
        return self._decorate(roles.WARMUP, function)

    @overload
    def on_shutdown(self, function: Hook, /) -> Hook: ...
    @overload
    def on_shutdown(self, /) -> Callable[[Hook], Hook]: ...
    def on_shutdown(self, function: Any = None, /) -> Any:
        """Register what runs when the server stops: ``clean_up(model, context)``."""
        return self._decorate(roles.ON_SHUTDOWN, function)

    def add(self, new: Registration) -> None:
        """Register a handler that was made without a decorator of this registry.

        Raises:
            RegistrationError: it clashes with another one, or comes too late.
        """
        role = new.handler.role
        if self._closed_by is not None:
            message = (
                f"@{role.name} on {new.handler} came after {self._closed_by}. "
                "Register handlers at the top level of the program, above serve(__name__)."
            )
            raise RegistrationError(message)
        replaced = [found for found in self._found if _overlap(found, new)]
        for found in replaced:
            if not _same_place(found.handler, new.handler):
                raise RegistrationError(_clash(found, new))
        if problem := self._exclusion(role):
            message = f"@{role.name} on {new.handler} {problem}"
            raise RegistrationError(message)
        self._found = [found for found in self._found if found not in replaced] + [new]

    def find(self, role: Role) -> list[Registration]:
        """Everything registered for ``role``, in the order of registration."""
        return [found for found in self._found if found.handler.role is role]

    def close(self, reason: str) -> None:
        """Refuse registrations from now on; ``reason`` completes "... came after <reason>"."""
        self._closed_by = reason

    @property
    def is_closed(self) -> bool:
        """Whether it serves, and takes no more registrations."""
        return self._closed_by is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is registered."""
        return not self._found

    def reset(self) -> None:
        """Start empty and open, for another program of the same process."""
        self._found, self._closed_by = [], None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Put back what was there before if what follows fails: it may be tried again."""
        kept = self._found, self._closed_by
        try:
            yield
        except BaseException:
            self._found, self._closed_by = kept
            raise

    @contextmanager
    def isolated(self) -> Iterator[Registry]:
        """Start empty and open, and put back afterwards what was there before."""
        kept = self._found, self._closed_by
        self.reset()
        try:
            yield self
        finally:
            self._found, self._closed_by = kept

    def _typed(self, role: Role, types: tuple[Any, ...]) -> Callable[[Middle], Middle]:
        if not types or not all(isinstance(name, str) and "/" in name for name in types):
            given = signatures.describe(types[0]) if types and callable(types[0]) else repr(types)
            message = (
                f"@{role.name} needs content types, but was given {given}. "
                f'Write: @{role.name}("application/json"), or "*/*" for all.'
            )
            raise RegistrationError(message)

        def register(function: Middle) -> Middle:
            names = tuple(content_types.parse(name).name for name in types)
            self.add(Registration(Handler.from_function(role, function), names))
            return function

        return register

    def _decorate(self, role: Role, function: Any, **options: Any) -> Any:
        unknown = options.keys() - {item.name for item in fields(Batching)}
        if unknown:
            message = (
                f"@{role.name} has no option {', '.join(sorted(unknown))}. "
                f"There are: {', '.join(item.name for item in fields(Batching))}."
            )
            raise RegistrationError(message)
        batching = Batching(**options)
        if problem := batching.problem():
            message = f"@{role.name}: {problem}."
            raise RegistrationError(message)

        def register(function: Any) -> Any:
            handler = Handler.from_function(role, function)
            if handler.is_async and (batching.threads > 1 or batching.max_batch_size > 1):
                message = (
                    f"@{role.name} is on {handler}, which is async: it runs concurrently as it is. "
                    "Leave out threads and max_batch_size, or make it a plain def."
                )
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
            for found in self.find(other):
                return (
                    f"stands beside the {other.name} {found.handler}. A transformer is the whole "
                    "path of a request: keep it alone, or keep decoder, predictor and encoder."
                )
        return None


def _overlap(found: Registration, new: Registration) -> bool:
    if found.handler.role is not new.handler.role:
        return False
    return not new.content_types or bool({*found.content_types} & {*new.content_types})


def _same_place(found: Handler, new: Handler) -> bool:
    """Whether the same function is registered again: a reload, or a notebook cell run twice."""
    if found.function is new.function:
        return True
    places = [
        (
            getattr(handler.function, "__module__", None),
            getattr(handler.function, "__qualname__", ""),
        )
        for handler in (found, new)
    ]
    name = places[0][1]
    return places[0] == places[1] and name != "" and not name.endswith("<lambda>")


def _clash(found: Registration, new: Registration) -> str:
    if new.is_script:  # the decorator is named as one, whichever came first
        found, new = new, found
    shared = [name for name in new.content_types if name in found.content_types]
    what = f"@{new.handler.role.name}" + (f'("{shared[0]}")' if shared else "")
    how = (
        "is also a script function" if found.is_script or new.is_script else "is already registered"
    )
    return (
        f"{what} on {new.handler}: {found.handler} {how} for that. "
        "Keep one of the two and remove the other."
    )


default_registry: Final = Registry()
