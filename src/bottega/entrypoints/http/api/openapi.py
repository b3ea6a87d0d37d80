"""The API's own description (OpenAPI 3.1): every route that has a tag, with every error it may answer with.

What every route of a kind may answer is said here and not at each of them: one with a token 401, 403 and 429, one with
a body 400, 408, 413 and 415, one that is asked for anything 422. The relay, webhooks and pages are for those who know
them, and stand in `docs/`.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bottega import __version__
from bottega.entrypoints.http.api import (
    admin,
    credits,
    delivery,
    events,
    files,
    keys,
    loop,
    plans,
    pricing,
    projects,
)
from bottega.entrypoints.http.api.examples import illustrate
from bottega.entrypoints.http.api.house import House
from bottega.entrypoints.http.api.wire import problem_response
from bottega.entrypoints.http.problems import Fault, Problem

ROUTERS = (
    loop.router,
    projects.router,
    plans.router,
    files.router,
    events.router,
    delivery.router,
    delivery.downloads,
    credits.router,
    keys.router,
    admin.router,
    pricing.router,
)
_ABOUT = """A software workshop over HTTP: a brief becomes a plan, a plan becomes tested, committed code, and every
model call is paid for with prepaid credits.

Credits and money are strings of digits. Errors are problems (RFC 9457). A `POST` may carry an `Idempotency-Key`: sent
again within a week it is done once; with another body it is refused. Lists are pages with a cursor. What another person
owns does not exist."""
_WITH_A_TOKEN = {
    401: "No token, or one that does not count (any more).",
    403: "The token lacks a scope.",
    429: "Too many requests; `Retry-After` says when to come again.",
    503: "The database is out of reach; `Retry-After` says when to come again.",
}
_WITH_A_BODY = {
    400: "The body cannot be read: it is not JSON, or not UTF-8.",
    408: "The body did not arrive in time.",
    413: "The body, or a text in it, is too large.",
    415: "The body is not `application/json`.",
}
_ASKED = {422: "It was read, and cannot be meant: `errors` says where."}
_RUN_LOOP = "/orchestrate/run-loop"
_KEY_REUSED = {422: "The `Idempotency-Key` was used before, for something else."}


def add_api(app: FastAPI, house: House) -> None:
    """Serve the API, and its description at /openapi.json."""
    app.state.house = house
    for router in ROUTERS:
        app.include_router(router)
    described: list[dict[str, Any]] = []  # once; no route comes later

    @app.get("/openapi.json", include_in_schema=False, response_model=None)
    async def openapi(_: Request) -> Response:
        if not described:
            described.append(describe(app))
        return JSONResponse(described[0])


def documented(app: FastAPI) -> Sequence[APIRoute]:
    """Return the routes of the API."""
    every = (context.original_route for context in iter_route_contexts(app.routes))
    return [route for route in every if isinstance(route, APIRoute) and route.tags]


def describe(app: FastAPI) -> dict[str, Any]:
    routes = documented(app)
    for route in routes:
        route.operation_id = route.operation_id or route.name
    told = get_openapi(title="Bottega", version=__version__, description=_ABOUT, routes=routes)
    for path, operations in told["paths"].items():
        for operation in operations.values():
            _say_what_may_go_wrong(operation, path=path)
    _link(told)
    illustrate(told)
    schemas = told["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Fault"] = Fault.model_json_schema()
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas["Problem"].pop("$defs", None)
    return told


def _link(told: dict[str, Any]) -> None:
    """Say where the id of a new project may be used: a client that explores follows it."""
    operations = {one["operationId"]: path for path, all_of in told["paths"].items() for one in all_of.values()}
    links = {
        name: {"operationId": name, "parameters": {"project_id": "$response.body#/id"}}
        for name, path in operations.items()
        if "{project_id}" in path
    }
    links["run_loop"] = {"operationId": "run_loop", "requestBody": {"project_id": "$response.body#/id"}}
    told["paths"]["/v1/projects"]["post"]["responses"]["201"]["links"] = links


def _say_what_may_go_wrong(operation: dict[str, Any], *, path: str) -> None:
    may = {status: said for status, said in operation["responses"].items() if status != "422"}
    for statuses, applies in (
        (_WITH_A_TOKEN, "security" in operation),
        (_WITH_A_BODY, "requestBody" in operation),
        (_KEY_REUSED, path == _RUN_LOOP),
        (_ASKED, path != _RUN_LOOP and ("requestBody" in operation or "parameters" in operation)),
    ):
        if applies:
            may |= {str(status): problem_response(said) for status, said in statuses.items() if str(status) not in may}
    stream = may.get("200", {}).get("content", {}).get("text/event-stream", {})
    stream.pop("schema", None)  # it would be that of each event, and no type fits them all
    operation["responses"] = dict(sorted(may.items()))
