"""Every error the server answers with, as a problem (RFC 9457): `application/problem+json`, one shape, one place.

`code` is what a program acts on and stays what it is; `detail` is a sentence a person can act on; `request_id` finds
the request in our log. What cannot be read is 400, what can be read and not be meant is 422. Nothing of our insides is
told, and nothing that was sent is repeated but the names of fields.

The relay beside it answers in OpenAI's shape, which its clients know.
"""

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bottega.core.errors import AppError

MEDIA_TYPE = "application/problem+json"
MOST_FAULTS = 20
NOT_ALLOWED, DEFECT = 405, 500
_CODES = {400: "malformed_body", 404: "not_found", 405: "method_not_allowed"}
SENTENCES = {
    400: "The body could not be read.",
    404: "There is nothing here.",
    405: "This address does not take that method.",
}

log = structlog.get_logger()


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="The place, as in `body.answers.0.text` or `query.limit`.")
    why: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(
        description="`urn:bottega:problem:` and the code.", examples=["urn:bottega:problem:nothing_to_do"]
    )
    title: str = Field(description="The status in words.", examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(
        description="A sentence a person can act on.", examples=["The project waits for answers to its questions."]
    )
    code: str = Field(description="For programs; it stays what it is.", examples=["nothing_to_do"])
    request_id: str = Field(description="Also in X-Request-Id; it finds the request in the server's log.")
    errors: list[Fault] | None = Field(default=None, description="With the code `invalid_request`: each fault.")


def problem(
    *,
    status: int,
    code: str,
    detail: str,
    request_id: str,
    headers: Mapping[str, str] | None = None,
    faults: Sequence[Fault] = (),
) -> Response:
    told: dict[str, Any] = {
        "type": f"urn:bottega:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if faults:
        told["errors"] = [fault.model_dump() for fault in faults]
    body = json.dumps(told).encode("ascii")  # whatever half a character a message repeats
    return Response(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


async def refuse(request: Request, error: Exception) -> Response:
    """Answer an error that was foreseen: ours, or the framework's."""
    request_id = request_id_of(request)
    if isinstance(error, AppError):
        if error.http_status >= DEFECT:
            log.warning("http.refused", code=error.code, status=error.http_status)
        return problem(
            status=error.http_status,
            code=error.code,
            detail=error.message,
            request_id=request_id,
        )
    if isinstance(error, RequestValidationError):
        return _invalid(error, request_id=request_id)
    if isinstance(error, HTTPException):
        status = error.status_code
        code, detail = _CODES.get(status, "http_error"), SENTENCES.get(status, "The request cannot be answered.")
        headers = {"Allow": _allowed(request)} if status == NOT_ALLOWED else error.headers
        return problem(status=status, code=code, detail=detail, request_id=request_id, headers=headers)
    raise error


def request_id_of(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def _allowed(request: Request) -> str:
    """Return every method of an address: the router knows but those of the first route that has it."""
    contexts = iter_route_contexts(request.app.routes)
    routes = [one.original_route for one in contexts if isinstance(one.original_route, Route)]
    here = (route.methods or () for route in routes if route.path_regex.match(request.url.path))
    return ", ".join(sorted({method for methods in here for method in methods}))


def faults_of(error: RequestValidationError) -> list[Fault]:
    """Return where and why, never what was sent."""
    return [Fault(where=_place(each["loc"]), why=str(each["msg"])) for each in error.errors()[:MOST_FAULTS]]


def _invalid(error: RequestValidationError, *, request_id: str) -> Response:
    if any(each["type"] == "json_invalid" for each in error.errors()):
        return problem(status=400, code="malformed_body", detail="The body is not JSON.", request_id=request_id)
    faults = faults_of(error)
    first = faults[0]
    detail = f"The request was not understood, and nothing was done. {first.where}: {first.why}."
    return problem(status=422, code="invalid_request", detail=detail, request_id=request_id, faults=faults)


def _place(location: Sequence[object]) -> str:
    """A field may be named by whoever sent it: what is not a plain name is left out."""
    return ".".join(str(part) if str(part).isidentifier() or isinstance(part, int) else "?" for part in location)[:200]
