"""The HTTP application: whether we live, webhooks of payment providers and of Telegram, the API, and the relay.

It decides nothing: a request becomes one call of an object that was handed in, and an outcome becomes a status.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bottega.access.service import Access
from bottega.core.errors import AppError
from bottega.entrypoints.http.api.house import House
from bottega.entrypoints.http.api.openapi import add_api
from bottega.entrypoints.http.pages import DevelopmentPayments, add_development_checkout, add_landing_pages
from bottega.entrypoints.http.problems import problem, refuse, request_id_of
from bottega.entrypoints.http.protection import Protection
from bottega.entrypoints.http.signing_in import sign_in_routes
from bottega.entrypoints.http.tokens import token_routes
from bottega.entrypoints.relay.body import read_body
from bottega.entrypoints.relay.router import Relay, relay_routes
from bottega.entrypoints.telegram.webhook import Webhook, webhook_routes

WEBHOOK_LIMIT_BYTES = 1024 * 1024
READY_SECONDS = 2.0
_GATEWAY = re.compile("[a-z][a-z0-9_]{0,29}")


class Webhooks(Protocol):
    async def receive(self, *, gateway: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Take what a payment provider says; raise an AppError where it is not to be believed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is made of. `ping` raises when the database does not answer.

    Pages of `cors_origins` may call, and `trusted_proxies` (addresses, networks) say whom a request is from.
    """

    ping: Callable[[], Awaitable[None]]
    relay: Relay
    webhooks: Webhooks | None = None
    development_payments: DevelopmentPayments | None = None
    telegram: Webhook | None = None
    house: House | None = None
    access: Access | None = None
    cors_origins: Sequence[str] = ()
    trusted_proxies: Sequence[str] = ()


def create_app(parts: Parts) -> FastAPI:
    app = FastAPI(
        title="Bottega",
        openapi_url=None,  # ours is in api/openapi.py; a page of it would load its scripts from elsewhere
        redirect_slashes=False,
        middleware=list(_layers(parts)),
    )
    app.add_exception_handler(AppError, refuse)
    app.add_exception_handler(HTTPException, refuse)
    app.add_exception_handler(RequestValidationError, refuse)
    _add_probes(app, parts.ping)
    if parts.access is not None:
        app.state.access = parts.access
        app.include_router(sign_in_routes(parts.access))
        app.include_router(token_routes(parts.access))
    if parts.webhooks is not None:
        _add_webhooks(app, parts.webhooks)
    add_landing_pages(app)
    if parts.telegram is not None:
        app.include_router(webhook_routes(parts.telegram))
    if parts.development_payments is not None:
        add_development_checkout(app, parts.development_payments)
    if parts.house is not None:
        add_api(app, parts.house)
    app.include_router(relay_routes(parts.relay))
    return app


def _layers(parts: Parts) -> Iterator[Middleware]:
    """Yield what every request passes, the outermost first."""
    yield Middleware(Protection, clock=parts.relay.clock)
    if parts.trusted_proxies:
        yield Middleware(ProxyHeadersMiddleware, trusted_hosts=list(parts.trusted_proxies))
    if parts.cors_origins:
        yield Middleware(
            CORSMiddleware,
            allow_origins=list(parts.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer"],
            expose_headers=["Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"],
        )


def _add_probes(app: FastAPI, ping: Callable[[], Awaitable[None]]) -> None:
    @app.get("/", response_model=None)
    async def root() -> Response:
        return JSONResponse({"message": "AI Development Assistant API is running!"})

    @app.get("/healthz", response_model=None)
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", response_model=None)
    async def readyz(request: Request) -> Response:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await ping()
        except Exception:  # noqa: BLE001  # whatever keeps the database from answering is the answer
            detail, request_id = "The database does not answer.", request_id_of(request)
            return problem(status=503, code="not_ready", detail=detail, request_id=request_id)
        return JSONResponse({"status": "ready"})


def _add_webhooks(app: FastAPI, webhooks: Webhooks) -> None:
    @app.post("/webhooks/{gateway}", response_model=None)
    async def webhook(request: Request, gateway: str) -> Response:
        if not _GATEWAY.fullmatch(gateway):
            raise HTTPException(404)
        body = await read_body(request, limit_bytes=WEBHOOK_LIMIT_BYTES)
        await webhooks.receive(gateway=gateway, body=body, headers=request.headers)
        return JSONResponse({"received": True})
