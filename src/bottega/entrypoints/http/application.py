"""The HTTP application: whether we live, webhooks of payment providers and of Telegram, downloads, and the relay.

It decides nothing: a request becomes one call of an object that was handed in, and an outcome becomes a status.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bottega.core.errors import AppError
from bottega.delivery.links import Download
from bottega.entrypoints.http.pages import DevelopmentPayments, add_development_checkout, add_landing_pages
from bottega.entrypoints.http.protection import Protection, error_body, refuse
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


class Downloads(Protocol):
    async def fetch(self, token: str) -> Download:
        """Return the file that a link of ours grants; raise an AppError for any other."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is made of. `ping` raises when the database does not answer."""

    ping: Callable[[], Awaitable[None]]
    relay: Relay
    webhooks: Webhooks | None = None
    development_payments: DevelopmentPayments | None = None
    telegram: Webhook | None = None
    downloads: Downloads | None = None


def create_app(parts: Parts) -> FastAPI:
    app = FastAPI(
        title="Bottega",
        openapi_url=None,  # the relay's format is OpenAI's, and the rest is for machines that know it
        redirect_slashes=False,
        middleware=[Middleware(Protection, clock=parts.relay.clock)],
    )
    app.add_exception_handler(AppError, refuse)
    app.add_exception_handler(HTTPException, refuse)
    _add_probes(app, parts.ping)
    if parts.webhooks is not None:
        _add_webhooks(app, parts.webhooks)
    add_landing_pages(app)
    if parts.downloads is not None:
        _add_downloads(app, parts.downloads)
    if parts.telegram is not None:
        app.include_router(webhook_routes(parts.telegram))
    if parts.development_payments is not None:
        add_development_checkout(app, parts.development_payments)
    app.include_router(relay_routes(parts.relay))
    return app


def _add_probes(app: FastAPI, ping: Callable[[], Awaitable[None]]) -> None:
    @app.get("/", response_model=None)
    async def root() -> Response:
        return JSONResponse({"message": "AI Development Assistant API is running!"})

    @app.get("/healthz", response_model=None)
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", response_model=None)
    async def readyz() -> Response:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await ping()
        except Exception:  # noqa: BLE001  # whatever keeps the database from answering is the answer
            return JSONResponse(error_body(code="not_ready", message="The database does not answer."), status_code=503)
        return JSONResponse({"status": "ready"})


def _add_webhooks(app: FastAPI, webhooks: Webhooks) -> None:
    @app.post("/webhooks/{gateway}", response_model=None)
    async def webhook(request: Request, gateway: str) -> Response:
        if not _GATEWAY.fullmatch(gateway):
            raise HTTPException(404)
        body = await read_body(request, limit_bytes=WEBHOOK_LIMIT_BYTES)
        await webhooks.receive(gateway=gateway, body=body, headers=request.headers)
        return JSONResponse({"received": True})


def _add_downloads(app: FastAPI, downloads: Downloads) -> None:
    @app.get("/download/{token}", response_model=None)
    async def download(token: str) -> Response:
        found = await downloads.fetch(token)
        headers = {"Content-Disposition": f'attachment; filename="{found.name}"', "Cache-Control": "private, no-store"}
        return Response(found.content, media_type="application/octet-stream", headers=headers)
