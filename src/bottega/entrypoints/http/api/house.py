"""What the routes of the API work with, and the few things that many of them are asked with."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header
from starlette.requests import Request

from bottega.access.types import Scope
from bottega.billing.payments.service import PaymentService
from bottega.db.transaction import Database
from bottega.delivery.links import Links
from bottega.entrypoints.http.api.streams import Streams
from bottega.entrypoints.http.identity import Caller, caller
from bottega.keys.encryption import Vault
from bottega.orchestration.commands.deeds import Key
from bottega.orchestration.commands.deleting import Deletion
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.orchestration.views.browsing import Browser
from bottega.orchestration.views.live import LiveEvents

CHANNEL = "http"
LONGEST_KEY = 190


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    database: Database
    orchestrator: ModelOrchestrator
    browser: Browser
    deletion: Deletion
    live: LiveEvents
    payments: PaymentService
    links: Links
    vault: Vault
    currency: str
    streams: Streams


async def _house(request: Request) -> House:  # FastAPI would run a plain function in a thread
    house: House = request.app.state.house
    return house


async def _idempotency(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=LONGEST_KEY,
            pattern=r"^[!-~]([ -~]*[!-~])?$",
            description="Names this very request: sent again with the same key, it is done once. Kept for a week.",
        ),
    ] = None,
) -> Key | None:
    if key is None:
        return None
    asked = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return Key(name=f"{CHANNEL}:{key}", asked=asked)


TheHouse = Annotated[House, Depends(_house)]
OnceKey = Annotated[Key | None, Depends(_idempotency)]
Reader = Annotated[Caller, caller(Scope.PROJECTS_READ)]
Writer = Annotated[Caller, caller(Scope.PROJECTS_WRITE)]
CreditReader = Annotated[Caller, caller(Scope.CREDITS_READ)]
CreditWriter = Annotated[Caller, caller(Scope.CREDITS_WRITE)]
KeyWriter = Annotated[Caller, caller(Scope.KEYS_WRITE)]
Admin = Annotated[Caller, caller(Scope.ADMIN)]
