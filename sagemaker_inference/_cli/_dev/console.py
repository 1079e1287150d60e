"""The console: a page on this machine that shows a program at work, and sends it requests."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import anyio
import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sagemaker_inference._cli._dev import numbers
from sagemaker_inference._os.interpreter import python_command
from sagemaker_inference.asgi._exchange import headers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from sagemaker_inference._cli._dev.proxy import Message, Proxy, Receive, Send
    from sagemaker_inference._cli._dev.records import Body, Record, Records
    from sagemaker_inference._cli._dev.reloading import Reloader

_SECONDS: Final = 2.0
_PAGE: Final = Path(__file__).with_name("page")
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/console.css": ("console.css", "text/css; charset=utf-8"),
    "/console.js": ("console.js", "text/javascript; charset=utf-8"),
    "/responses.js": ("responses.js", "text/javascript; charset=utf-8"),
}
# Nothing from elsewhere, and nobody around it.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARD: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Of what the page sends, what is for the program.
_PASSED: Final = (b"accept", b"content-type", b"content-length", b"transfer-encoding")
_PASSED_START: Final = b"x-amzn-"
_SEND: Final = "/api/send"
# Which of the last requests a response of the program is for.
_NUMBER: Final = b"x-request-number"
_FACTS: Final = "sagemaker_inference._cli._dev.facts"


class Console:
    """The console as an ASGI application.

    Args:
        program: the program's file.
        address: where it is served.
        proxy: what requests go through, so that those of the page are like others.
        reloader: knows the servers.
        records: has the last requests.
        port: the console's own.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it shows
        self,
        program: str,
        address: str,
        proxy: Proxy,
        reloader: Reloader,
        records: Records,
        port: int,
    ) -> None:
        self._program = program
        self._address = address
        self._proxy = proxy
        self._reloader = reloader
        self._records = records
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._client = httpx.AsyncClient(
            timeout=_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )
        self._facts: dict[str, tuple[int, Response]] = {}
        self._one_at_a_time = anyio.Lock()
        files = [Route(path, self._file) for path in _FILES]
        self._app = Starlette(
            routes=[
                *files,
                Route("/api/state", self._state),
                Route("/api/requests/{number:int}", self._request),
                Route("/api/samples", self._samples),
                Route("/api/check", self._check),
            ]
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower().encode() for name in _GUARD}
                message["headers"] = [
                    *(one for one in message["headers"] if one[0].lower() not in own),
                    *((name.lower().encode(), text.encode()) for name, text in _GUARD.items()),
                ]
            await send(message)

        if refusal:
            await PlainTextResponse(refusal, 403)(scope, receive, guarded)
        elif scope["path"] == _SEND:
            await self._send(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _refusal(self, scope: Message) -> str:
        """Why a request is not answered; "" if it is.

        Any page may have a browser send requests to this machine: by a name that leads here, which
        Host tells, or by the address itself, which the other two tell.
        """
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if scope["type"] != "http" or host not in self._hosts:
            return f"The console is at http://{self._hosts[0]}/"
        origin = headers.get(b"origin")
        is_ours = origin == f"http://{host}"
        is_read = scope["method"] in ("GET", "HEAD")
        if (origin is not None or not is_read) and not is_ours:
            return "Only the console's own page may do that."
        is_api = scope["path"].startswith("/api/")
        if is_api and headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "Only the console's own page may read that."
        return ""

    async def _file(self, request: Request) -> Response:
        name, media_type = _FILES[request.url.path]
        return Response((_PAGE / name).read_bytes(), media_type=media_type)

    async def _send(self, scope: Message, receive: Receive, send: Send) -> None:
        """Send a request of the page to the program; the query is its target."""
        target = scope["query_string"].decode("latin-1")
        if scope["method"] != "POST" or not target.startswith("/"):
            refusal = PlainTextResponse(f"Write it as POST {_SEND}?/invocations", 400)
            await refusal(scope, receive, send)
            return
        path, _, query = target.partition("?")
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name in _PASSED or name.startswith(_PASSED_START)
        ]
        host = self._address.partition("://")[2].encode()
        passed = {
            **scope,
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(b"host", host), *headers],
        }
        record = self._records.begin("POST", target, headers_of(passed))

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A header of the program's own, by this name, is not the page's.
                theirs = [one for one in message["headers"] if one[0].lower() != _NUMBER]
                message["headers"] = [*theirs, (_NUMBER, str(record.number).encode())]
            await send(message)

        await self._proxy.answer(passed, receive, numbered, record)

    async def _state(self, _: Request) -> Response:
        reloader = self._reloader
        last = reloader.last
        ping, page = await self._asked("/ping"), await self._asked("/metrics")
        has_page = page is not None and page.is_success
        state = {
            "program": self._program,
            "address": self._address,
            "kind": "" if reloader.target is None else reloader.target.kind,
            "number": reloader.number,
            "is_loading": reloader.is_loading,
            "problem": last.problem,
            "log": list(last.log) if last.problem else [],
            "load_seconds": last.seconds,
            "ping": None if ping is None else {"status": ping.status_code, "body": ping.text},
            "running": self._records.running,
            **numbers.of_requests(self._records.times()),
            **numbers.of_page(page.text if has_page and page else ""),
            "requests": [_summary(record) for record in self._records],
        }
        return JSONResponse(state)

    async def _asked(self, path: str) -> httpx.Response | None:
        server = self._reloader.target
        if server is None:
            return None
        try:
            return await self._client.get(f"{server.url}{path}")
        except httpx.TransportError:
            return None

    async def _request(self, request: Request) -> Response:
        record = self._records.find(request.path_params["number"])
        if record is None:
            return PlainTextResponse("It is not kept any more.", 404)
        found = {
            **_summary(record),
            "headers": list(record.headers.items()),
            "request": _body(record.request),
            "response": _body(record.response),
        }
        return JSONResponse(found)

    async def _samples(self, _: Request) -> Response:
        return await self._found("samples")

    async def _check(self, _: Request) -> Response:
        return await self._found("check")

    async def _found(self, what: str) -> Response:
        """What another process finds of the program, once for each load."""
        async with self._one_at_a_time:
            number, known = self._facts.get(what, (-1, None))
            # The files are looked at: those of a program that has not been loaded, too.
            loads = self._reloader.loads
            if known is None or number != loads:
                known = await _found_of(what, self._program)
                self._facts[what] = (loads, known)
            return known


async def _found_of(what: str, program: str) -> Response:
    command = python_command(_FACTS, what, program)
    # Files, since the program may start processes that keep pipes open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        await anyio.run_process(command, stdout=output, stderr=log, check=False)
        output.seek(0)
        log.seek(0)
        found, said = output.read(), log.read()
    try:
        json.loads(found)
    except ValueError:
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return JSONResponse({"problem": lines[-1] if lines else "it says nothing"}, 500)
    return Response(found, media_type="application/json")


def _summary(record: Record) -> Mapping[str, Any]:
    return {
        "number": record.number,
        "at": record.at,
        "method": record.method,
        "target": record.target,
        "status": record.status,
        "content_type": record.content_type,
        "first": record.first,
        "seconds": record.seconds,
        "sizes": [record.request.size, record.response.size],
        "problem": record.problem,
        "program": record.server,
    }


def _body(body: Body) -> Mapping[str, Any]:
    return {"size": body.size, "data": base64.b64encode(body.data).decode()}
