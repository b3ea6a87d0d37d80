"""How a route of the API reads what it is sent: at most so many bytes, for so long, as JSON and as nothing else.

JSON is that of RFC 8259: neither NaN nor Infinity are of it. An object that names a thing twice is refused, because
whoever stands between us and the client might have read the other one. Where a caller is wanted, nothing is read of
anybody who is none, or who asks too often.
"""

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from bottega.core.errors import AppError
from bottega.entrypoints.http.identity import admitted, bearer
from bottega.entrypoints.http.problems import faults_of
from bottega.entrypoints.relay.body import read_body

BODY_LIMIT_BYTES = 256 * 1024
Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class UnsupportedMediaType(AppError):
    code = "unsupported_media_type"
    http_status = 415

    def __init__(self) -> None:
        super().__init__("Send JSON, with `Content-Type: application/json`.")


class MalformedBody(AppError):
    code = "malformed_body"
    http_status = 400

    def __init__(self, why: str = "it is not text in UTF-8") -> None:
        super().__init__(f"The body cannot be read: {why}.")


class ApiRoute(APIRoute):
    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()
        takes_json = self.body_field is not None
        wants_a_caller = _wants_a_caller(self.dependant)

        async def read_first(request: Request) -> Response:
            if wants_a_caller:
                await admitted(request)
            if request.method in {"GET", "HEAD"}:
                return await handle(request)
            body = await read_body(request, limit_bytes=BODY_LIMIT_BYTES)
            if takes_json and body:
                _require_json(request, body)
            return await handle(Request(request.scope, receive=_again(body)))

        return read_first


def _wants_a_caller(dependant: Dependant) -> bool:
    return dependant.call is bearer or any(_wants_a_caller(each) for each in dependant.dependencies)


def _require_json(request: Request, body: bytes) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType
    try:
        json.loads(body.decode(), object_pairs_hook=_named_once, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise MalformedBody from error
    except RecursionError as error:
        raise MalformedBody("it is nested too deeply") from error
    except ValueError as error:
        raise MalformedBody("it is not JSON") from error


def _named_once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MalformedBody("an object in it names something twice")
    return found


def _no_number(_: str) -> object:
    raise MalformedBody("NaN and Infinity are no JSON")


def _again(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class BadRequest(AppError):
    code = "invalid_request"
    http_status = 400


class StrictRoute(ApiRoute):
    """Of a route whose every misunderstanding is 400, as its specification says."""

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def told_otherwise(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                first = faults_of(error)[0]
                raise BadRequest(f"The request was not understood. {first.where}: {first.why}.") from error

        return told_otherwise
