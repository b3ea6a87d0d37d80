"""Updates by webhook: in the inbox first, and only then answered. Telegram delivers again what was not.

Whoever does not know the secret is sent away before a byte of the body is read.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bottega.bootstrap import App
from bottega.config import TelegramSettings
from bottega.core.errors import AppError
from bottega.db.transaction import FAULTS
from bottega.entrypoints.relay.body import read_body
from bottega.entrypoints.telegram.reading import arrival_of
from bottega.entrypoints.telegram.receiving import SOURCE
from bottega.llm.foreign_json import NotJson, parse
from bottega.orchestration.post.inbox import Inbox

PATH = "/telegram/webhook"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  # its name
LIMIT_BYTES = 1024 * 1024

log = structlog.get_logger()


class NotTelegram(AppError):
    code = "telegram.webhook.forbidden"
    http_status = 403

    def __init__(self) -> None:
        super().__init__("This address is Telegram's: the secret is missing or wrong.")


class NotAnUpdate(AppError):
    code = "telegram.webhook.not_json"
    http_status = 400

    def __init__(self) -> None:
        super().__init__("The body is not JSON.")


class NotKept(AppError):
    code = "telegram.webhook.not_kept"
    http_status = 503

    def __init__(self) -> None:
        super().__init__("The update could not be kept. Deliver it again.")


class Webhook:
    def __init__(self, *, inbox: Inbox, secret: str) -> None:
        self._inbox = inbox
        self._secret = secret.encode()

    def check(self, secret: str) -> None:
        """Raise NotTelegram unless it is the secret."""
        if not hmac.compare_digest(secret.encode(errors="replace"), self._secret):
            raise NotTelegram

    async def receive(self, body: bytes) -> None:
        """Keep an update; what is none, or none of ours, is thanked for and forgotten.

        Raises:
            NotAnUpdate, NotKept
        """
        try:
            arrival = arrival_of(parse(body))
        except NotJson as error:
            raise NotAnUpdate from error
        if arrival is None:
            log.info("telegram.update.ignored")
            return
        try:
            await self._inbox.take_in([arrival])
        except FAULTS as error:
            log.warning("telegram.update.unkept", reason=type(error).__name__)
            raise NotKept from error


def webhook_routes(webhook: Webhook) -> APIRouter:
    routes = APIRouter()

    @routes.post(PATH, response_model=None)
    async def receive(request: Request) -> Response:
        webhook.check(request.headers.get(SECRET_HEADER, ""))
        await webhook.receive(await read_body(request, limit_bytes=LIMIT_BYTES))
        return JSONResponse({"ok": True})

    return routes


@asynccontextmanager
async def telegram_webhook(app: App) -> AsyncIterator[Webhook | None]:
    """Lend what takes updates over HTTP, where this installation has a webhook and leaves it to the server."""
    settings = app.settings.telegram
    if settings.webhook_address is None or settings.telegram_webhook_port is not None:
        yield None
        return
    inbox = Inbox(database=app.database, source=SOURCE)
    try:
        yield webhook_of(settings, inbox=inbox)
    finally:
        await inbox.close()


def webhook_of(settings: TelegramSettings, *, inbox: Inbox) -> Webhook:
    return Webhook(inbox=inbox, secret=secret_for(settings))


def secret_for(settings: TelegramSettings) -> str:
    """Return what Telegram proves itself by: as set, or made from the token, so that nothing need be set."""
    if settings.telegram_webhook_secret is not None:
        return settings.telegram_webhook_secret.get_secret_value()
    assert settings.telegram_bot_token is not None  # noqa: S101  # no webhook is set without one
    token = settings.telegram_bot_token.get_secret_value().encode()
    return hmac.digest(token, b"bottega telegram webhook", hashlib.sha256).hex()
