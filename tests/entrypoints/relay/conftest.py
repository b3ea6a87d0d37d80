"""The relay as a tool meets it: real HTTP in, real HTTP out to fake providers, real money in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp

from bottega.billing.metering import Metering, RetryPolicy
from bottega.billing.prices import PriceBook, set_price
from bottega.billing.pricing import Rates
from bottega.billing.relay import RelayTokens
from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.entrypoints.http.application import Parts, create_app
from bottega.entrypoints.relay.calls import Calls
from bottega.entrypoints.relay.connections import STALLED_SECONDS, connections, patience
from bottega.entrypoints.relay.desk import MeteredDesk
from bottega.entrypoints.relay.router import Relay
from bottega.entrypoints.relay.server import listen, serving
from bottega.keys.manager import APIKeyManager
from bottega.llm.client import LLMClient, Patience
from bottega.llm.errors import ProviderError
from bottega.llm.gemini import Gemini
from bottega.llm.openrouter import OpenAIChat
from bottega.llm.types import ModelName
from bottega.llm.wire import load_certificates
from bottega.orchestration.gate import ProjectGate
from tests.billing.scene import TERMS, Scene, set_scene
from tests.fakes.providers import FakeProviders

SMALL, LARGE = ModelName.parse("openrouter/fake/small"), ModelName.parse("google/gemini-of-the-test")
RATES = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
HELLO = ({"role": "user", "content": "hello"},)


def never(error: ProviderError, *, attempt: int) -> float | None:  # noqa: ARG001
    return None


def at_once(error: ProviderError, *, attempt: int) -> float | None:  # noqa: ARG001
    return 0 if attempt < 3 else None


@asynccontextmanager
async def served(
    app: ASGIApp, *, grace_seconds: int = 1, stalled_seconds: float = STALLED_SECONDS
) -> AsyncIterator[str]:
    """Serve an application on loopback and return its URL."""
    at = listen(host="127.0.0.1", port=0)
    url = f"http://127.0.0.1:{at.getsockname()[1]}"
    connection = connections(patience(stalled_seconds=stalled_seconds))
    async with serving(app, at=at, grace_seconds=grace_seconds, connection=connection):
        yield url


def client(url: str, *, token: str | None = None) -> httpx2.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=20, verify=load_certificates())


def asking(messages: Sequence[Mapping[str, Any]] = HELLO, **rest: Any) -> dict[str, Any]:
    return {"model": str(SMALL), "messages": list(messages), "max_tokens": 1000, **rest}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """A stream, taken apart."""

    text: str
    objects: tuple[Mapping[str, Any], ...]
    comments: int
    done: bool

    @property
    def error(self) -> Mapping[str, Any] | None:
        return next((o["error"] for o in self.objects if "error" in o), None)


def chunks(body: str) -> Chunks:
    lines = [line for line in body.split("\n\n") if line]
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    objects = tuple(json.loads(event) for event in events if event != "[DONE]")
    pieces = [o["choices"][0]["delta"].get("content", "") for o in objects if o.get("choices")]
    comments = sum(line.startswith(":") for line in lines)
    return Chunks(text="".join(pieces), objects=objects, comments=comments, done=events[-1:] == ["[DONE]"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A served relay, the person it charges, and a client with a token of theirs."""

    scene: Scene
    fake: FakeProviders
    tokens: RelayTokens
    calls: Calls
    token: str
    url: str
    http: httpx2.AsyncClient

    async def ask(self, **rest: Any) -> httpx2.Response:
        return await self.http.post("/v1/chat/completions", json=asking(**rest))

    async def settled(self, *, rows: int) -> None:
        """Wait until so many calls have ended, then check every truth about money."""
        for _ in range(200):
            calls = await self.scene.calls()
            if len(calls) == rows and all(call.status != "started" for call in calls):
                break
            await asyncio.sleep(0.02)
        assert [call.status for call in await self.scene.calls()].count("started") == 0
        assert len(await self.scene.calls()) == rows
        assert await self.scene.faults() == []
        _, held = await self.scene.money()
        assert held == 0


@asynccontextmanager
async def counter(
    database: Database,
    *,
    credits: str = "100",
    retry: RetryPolicy = never,
    silence_seconds: float = 5.0,
    calls: Calls | None = None,
) -> AsyncIterator[Counter]:
    scene = await set_scene(database, credits=credits)
    async with database.transaction() as session:
        for model in (SMALL, LARGE):
            await set_price(session, model=model, rates=RATES)
    tokens = RelayTokens(database=database)
    issued = await tokens.issue(user_id=scene.user_id, project_id=scene.project_id, ttl_seconds=600)
    async with FakeProviders() as fake, gateway(fake) as llm:
        prices, clock = PriceBook(), SystemClock()
        metering = Metering(database=database, llm=llm, retry=retry, terms=TERMS, clock=clock, prices=prices)
        desk = MeteredDesk(tokens=tokens, gate=ProjectGate(database=database), metering=metering)
        calls = calls or Calls()
        relay = Relay(desk=desk, models=(SMALL, LARGE), calls=calls, clock=clock, silence_seconds=silence_seconds)
        async with served(create_app(Parts(ping=nothing, relay=relay))) as url, client(url, token=issued.token) as http:
            yield Counter(scene=scene, fake=fake, tokens=tokens, calls=calls, token=issued.token, url=url, http=http)
            await calls.drain(within_seconds=5)


async def nothing() -> None:
    pass


@asynccontextmanager
async def gateway(fake: FakeProviders) -> AsyncIterator[LLMClient]:
    clock = SystemClock()
    keys = APIKeyManager(
        pools={"google": ("key-of-google",), "openrouter": ("key-of-openrouter",)}, clock=clock, fingerprint_key=b"f"
    )
    llm = LLMClient(
        dialects=[Gemini(base_url=fake.gemini_url), OpenAIChat(base_url=fake.openrouter_url)],
        keys=keys,
        clock=clock,
        patience=Patience(first_word_seconds=5, progress_seconds=2, bill_polls_seconds=(0.0,)),
    )
    try:
        yield llm
    finally:
        await llm.close()


@pytest.fixture
async def relay(database: Database) -> AsyncIterator[Counter]:
    async with counter(database) as made:
        yield made
