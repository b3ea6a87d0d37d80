"""Who a token's calls are made for. Money is settled here, or by whoever lent the model, never by both."""

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from bottega.billing.metering import Metering
from bottega.billing.relay import Grant
from bottega.core.ids import new_id
from bottega.entrypoints.relay.wire import Asked
from bottega.llm.types import CallObserver, Completion


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply, and the credits charged for it; None where whoever lent the model settles."""

    completion: Completion
    credits: Decimal | None


class Account(Protocol):
    """What a token stands for. `name` is the same for all its calls, and no secret."""

    @property
    def name(self) -> str: ...

    async def complete(self, asked: Asked, *, observer: CallObserver | None) -> Answer: ...


class Desk(Protocol):
    async def admit(self, token: str) -> Account:
        """Return the account behind a token, or raise an AppError of status 401."""
        ...


class Gate(Protocol):
    async def may_call(self, *, project_id: uuid.UUID) -> None:
        """Raise an AppError while nothing may be spent on the project."""
        ...


class Tokens(Protocol):
    async def redeem(self, token: str) -> Grant: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredDesk:
    """Issued tokens: every call is one operation on the account of whom the token was issued to."""

    tokens: Tokens
    gate: Gate
    metering: Metering

    async def admit(self, token: str) -> Account:
        return MeteredAccount(grant=await self.tokens.redeem(token), gate=self.gate, metering=self.metering)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredAccount:
    grant: Grant
    gate: Gate
    metering: Metering

    @property
    def name(self) -> str:
        return str(self.grant.token_id)

    async def complete(self, asked: Asked, *, observer: CallObserver | None) -> Answer:
        """Hold, call, settle. A reply is never shortened to what is affordable: cut, it would be read and not paid."""
        grant = self.grant
        await self.gate.may_call(project_id=grant.project_id)
        request = asked.made_for(grant.purpose, session=str(grant.project_id))
        async with self.metering.standalone(
            user_id=grant.user_id,
            project_id=grant.project_id,
            operation_key=f"relay:{grant.token_id}:{new_id().hex}",
            task_key=grant.task_key,
            may_shorten=False,
        ) as llm:
            completion = await llm.complete(request, observer=observer)
            credits = await llm.settle(self.metering.database.autocommit)
        return Answer(completion=completion, credits=credits)
