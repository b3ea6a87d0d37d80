"""What every request gets: an id of ours, headers that give nothing away, and an error that is said once and kindly.

A request that a proxy before us may have understood in another way goes no further: one of two lengths, where it may
take for the next request what we took for a body; and a path with an encoded slash, a name to one of us and a folder to
the other.
"""

import asyncio
import uuid
from collections.abc import Mapping

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bottega.core.clock import Clock
from bottega.db.transaction import is_out_of_reach
from bottega.entrypoints.http.problems import SENTENCES, problem

log = structlog.get_logger()

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
}
LONGEST_LOGGED = 200
AWAY_SECONDS = 5
_STOPPING = "The server is stopping. Send it again: with the same Idempotency-Key nothing is done twice."
_AWAY = "The database cannot be reached. Try again in a moment: with the same Idempotency-Key nothing is done twice."
_ANSWER_HEADERS = "bottega.answer_headers"


class Protection:
    """The outermost layer of the application: nothing of ours fails beyond it."""

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex  # never the client's own, which could be anything
        scope.setdefault("state", {})["request_id"] = request_id
        began = self._clock.monotonic()
        status = 0
        said: dict[str, str] = {}
        scope[_ANSWER_HEADERS] = said

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.update(said)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await _answer_of(self._app, scope, request_id=request_id)(scope, receive, guarded)
            except asyncio.CancelledError:  # the server stops, and its grace is over: nobody waits for this task
                log.warning("http.cut_off", method=scope["method"], path=_path(scope))
                if not status:
                    await _stopping(request_id)(scope, receive, guarded)
            except Exception as error:  # noqa: BLE001  # the edge: one kind sentence, and the rest in the log
                answer = _failed(error, scope, request_id=request_id)
                if not status:
                    await answer(scope, receive, guarded)
            elapsed_ms = round((self._clock.monotonic() - began) * 1000)
            log.info("http.request", method=scope["method"], path=_path(scope), status=status, elapsed_ms=elapsed_ms)


def _answer_of(app: ASGIApp, scope: Scope, *, request_id: str) -> ASGIApp:
    """Return what answers a request: the application, where there are no two ways to read it."""
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
        detail = "Say how long the body is in one way: Content-Length, or Transfer-Encoding."
        close = {"Connection": "close"}
        return problem(status=400, code="ambiguous_length", detail=detail, request_id=request_id, headers=close)
    if b"%2f" in bytes(scope["raw_path"]).lower():
        return problem(status=404, code="not_found", detail=SENTENCES[404], request_id=request_id)
    return app


def answer_with(request: Request, name: str, value: str) -> None:
    """Let the answer to a request carry a header, whatever becomes of the request."""
    request.scope.setdefault(_ANSWER_HEADERS, {})[name] = value


def _path(scope: Scope) -> str:
    """Return the path as it came over the wire: decoded, it could hold lines of its own."""
    return bytes(scope["raw_path"])[:LONGEST_LOGGED].decode("ascii", "backslashreplace")


def _stopping(request_id: str) -> Response:
    headers = {"Retry-After": str(AWAY_SECONDS), "Connection": "close"}
    return problem(status=503, code="stopping", detail=_STOPPING, request_id=request_id, headers=headers)


def _failed(error: Exception, scope: Scope, *, request_id: str) -> Response:
    """Log what nobody foresaw, and return what is said of it."""
    if is_out_of_reach(error):  # known, and true of every request: no trace for each
        log.warning("http.database_away", reason=type(error.__cause__ or error).__name__)
        return problem(
            status=503,
            code="database_away",
            detail=_AWAY,
            request_id=request_id,
            headers={"Retry-After": str(AWAY_SECONDS)},
        )
    error_id = uuid.uuid4().hex[:12]
    log.error("http.failed", error_id=error_id, method=scope["method"], path=_path(scope), exc_info=error)
    sentence = f"Something went wrong on our side (error {error_id})."
    return problem(status=500, code="internal_error", detail=sentence, request_id=request_id)


def unreadable_answer() -> bytes:
    """Log what is no HTTP, and return the whole answer to it: uvicorn's own has neither an id nor our headers."""
    request_id = uuid.uuid4().hex
    log.info("http.unreadable", request_id=request_id, status=400)
    detail = "This is no HTTP request that could be read."
    answer = problem(status=400, code="unreadable_request", detail=detail, request_id=request_id)
    headers = {**SECURITY_HEADERS, "X-Request-Id": request_id, "Connection": "close"}
    head = [f"{name.decode()}: {value.decode()}" for name, value in answer.raw_headers]
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["HTTP/1.1 400 Bad Request", *head, "", ""]).encode("ascii") + bytes(answer.body)
