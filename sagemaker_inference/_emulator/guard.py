"""Keep web pages of elsewhere from the emulator: a browser lets any page send requests to it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.websockets import WebSocketClose

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# What ends processes, and is not for pages at all.
_FAULTS: Final = "/_emulator/"
_THIS_MACHINE: Final = ("127.0.0.1", "::1", "localhost")
_FORBIDDEN: Final = 403

logger = logging.getLogger(__name__)


class Guard:
    """Refuses requests of pages; a browser says in Origin from where a page is.

    Args:
        app: what answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = "" if scope["type"] == "lifespan" else _refusal(scope)
        if not refusal:
            await self._app(scope, receive, send)
            return
        logger.warning("%s: %s", scope["path"], refusal)
        if scope["type"] == "websocket":
            await WebSocketClose(reason=refusal)(scope, receive, send)
            return
        error = errors.PlatformError(_FORBIDDEN, "AccessDeniedException", refusal)
        await error.response("")(scope, receive, send)


def _refusal(scope: Scope) -> str:
    """Why a request is not answered; "" if it is."""
    headers = Headers(scope=scope)
    origins = headers.getlist("origin")
    if not all(map(_is_here, origins)):
        return "Pages of elsewhere may not use the emulator."
    # By a name that leads to this machine, a page of elsewhere has the emulator's own origin.
    is_fault = scope["path"].startswith(_FAULTS)
    is_direct = not origins and headers.get("sec-fetch-site", "none") == "none"
    if is_fault and not (is_direct and _is_here(f"http://{headers.get('host', '')}")):
        return "Faults are not for web pages: ask for them at http://127.0.0.1, without Origin."
    return ""


def _is_here(origin: str) -> bool:
    try:
        return urlsplit(origin).hostname in _THIS_MACHINE
    except ValueError:
        return False
