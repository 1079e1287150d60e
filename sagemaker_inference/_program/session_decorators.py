"""The decorators of sessions; a registry has them beside its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, overload

from sagemaker_inference._program import roles

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.roles import Role
    from sagemaker_inference._program.shapes import LifecycleHandler, WarmupHandler


class SessionDecorators(ABC):
    """What begins and ends a session."""

    @overload
    def session_start(self, function: LifecycleHandler, /) -> LifecycleHandler: ...
    @overload
    def session_start(self, /) -> Callable[[LifecycleHandler], LifecycleHandler]: ...
    def session_start(self, function: Any = None, /) -> Any:
        """Register what begins a session: ``start(model, context) -> state``.

        It runs when a client asks for a new session. What it returns is ``context.session.state``
        at each request of the session, which all go to the same worker; a dict where it returns
        None.

        >>> from sagemaker_inference import Registry
        >>> registry = Registry()
        >>> @registry.session_start
        ... def start(model):
        ...     return {"history": []}

        Raises:
            RegistrationError: the function cannot be called with these arguments, or another
                such hook is registered.
        """
        return self._decorate(roles.SESSION_START, function)

    @overload
    def session_end(self, function: WarmupHandler, /) -> WarmupHandler: ...
    @overload
    def session_end(self, /) -> Callable[[WarmupHandler], WarmupHandler]: ...
    def session_end(self, function: Any = None, /) -> Any:
        """Register what ends a session: ``end(state, model, context)``.

        It runs when a session was closed, has expired, or its worker ends; an exception is logged.

        >>> from sagemaker_inference import Registry
        >>> registry = Registry()
        >>> @registry.session_end
        ... def end(state):
        ...     state.clear()

        Raises:
            RegistrationError: the function cannot be called with these arguments, or another
                such hook is registered.
        """
        return self._decorate(roles.SESSION_END, function)

    @abstractmethod
    def _decorate(self, role: Role, function: Any, **options: Any) -> Any:
        """Register a function under a role."""
