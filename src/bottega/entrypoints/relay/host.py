"""Lending a model to a tool of this machine: `LocalRelay` serves it on loopback, to whoever has the loan's token.

A loan's calls go to exactly the model that was lent, which settles them where its step is journaled; nothing is settled
here. When a loan ends its token is dead and its calls are cancelled. The web framework is imported with the first loan.
"""

import asyncio
import inspect
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, cast

from bottega.agents.refiner import Loan
from bottega.billing.relay import InvalidRelayToken, fingerprint
from bottega.core.clock import Clock, SystemClock
from bottega.core.ids import new_id
from bottega.entrypoints.relay.calls import Calls
from bottega.entrypoints.relay.desk import Account, Answer
from bottega.entrypoints.relay.wire import Asked
from bottega.llm.types import LLM, CallObserver, Gateway, ModelName, Purpose

LOOPBACK = "127.0.0.1"
PREFIX = "brl_"
GRACE_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LentModel:
    name: str
    llm: LLM
    purpose: Purpose
    session: str

    async def complete(self, asked: Asked, *, observer: CallObserver | None) -> Answer:
        request = asked.made_for(self.purpose, session=self.session)
        if "observer" in inspect.signature(self.llm.complete).parameters:
            completion = await cast("Gateway", self.llm).complete(request, observer=observer)
        else:
            completion = await self.llm.complete(request)
        return Answer(completion=completion, credits=None)


class LocalRelay:
    """`models` are the names a tool may ask for. Nothing listens before the first loan."""

    def __init__(self, *, models: Sequence[ModelName], clock: Clock | None = None) -> None:
        self._models = tuple(dict.fromkeys(models))
        self._clock = clock or SystemClock()
        self._calls = Calls()
        self._loans: dict[str, LentModel] = {}
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._base_url = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loans.clear()
        await self._calls.drain(within_seconds=0)
        await self._stack.aclose()

    def lend(
        self, llm: LLM, *, purpose: Purpose = Purpose.RELAY, session: str = ""
    ) -> AbstractAsyncContextManager[Loan]:
        """Serve this model until the block ends; its calls are told to be for `purpose`, and grouped by `session`."""
        return self._lent(LentModel(name=new_id().hex, llm=llm, purpose=purpose, session=session))

    async def admit(self, token: str) -> Account:
        lent = self._loans.get(fingerprint(token))
        if lent is None:
            raise InvalidRelayToken
        return lent

    @asynccontextmanager
    async def _lent(self, lent: LentModel) -> AsyncIterator[Loan]:
        async with self._starting:
            if not self._base_url:
                self._base_url = await self._start()
        token = PREFIX + secrets.token_urlsafe(32)
        self._loans[fingerprint(token)] = lent
        try:
            yield Loan(base_url=self._base_url, token=token)
        finally:
            self._loans.pop(fingerprint(token), None)
            await self._calls.cancel(lent.name)

    async def _start(self) -> str:
        # Most processes lend nothing: the framework's quarter of a second is theirs to keep.
        from fastapi import FastAPI  # noqa: PLC0415

        from bottega.entrypoints.relay.router import Relay, relay_routes  # noqa: PLC0415
        from bottega.entrypoints.relay.server import listen, serving  # noqa: PLC0415

        app = FastAPI(openapi_url=None, redirect_slashes=False)
        app.include_router(relay_routes(Relay(desk=self, models=self._models, calls=self._calls, clock=self._clock)))
        at = listen(host=LOOPBACK, port=0)
        port = at.getsockname()[1]
        await self._stack.enter_async_context(serving(app, at=at, grace_seconds=GRACE_SECONDS))
        return f"http://{LOOPBACK}:{port}/v1"
