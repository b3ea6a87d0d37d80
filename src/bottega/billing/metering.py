"""The only way to a model: hold the worst case, call, settle the real cost.

`MeteredLLM` answers like any LLM. Every attempt has its own usage row and its own hold, both committed before any
network I/O, and runs outside any transaction. A reply is *owed* until the caller settles it, in the same transaction
that journals what the reply was good for: charge and journal stand or fall together. An attempt that fails is never
charged; what it cost is recorded as the platform's loss, or asked for afterwards (`reconcile.py`). A caller may be
cancelled at any await: what was begun is finished or undone first. Whoever has a provider key of their own pays the
provider with it and the platform's fee to us: which it is, is settled once per attempt, with its hold.
"""

import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NoReturn, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing import ledger
from bottega.billing.attempt import Owed, Started, ending_of, owed_for
from bottega.billing.ledger import InsufficientCredits, PriceWithdrawn
from bottega.billing.observation import Observation
from bottega.billing.prices import PriceBook
from bottega.billing.pricing import (
    Price,
    charge_credits,
    estimated_usage,
    output_tokens_within,
    price_cap,
    worst_case_usd,
)
from bottega.billing.telling import Telling, tell_loss, telling
from bottega.billing.types import Call, CallStatus, Hold, Outcome, Terms, Uncharged
from bottega.core.clock import Clock
from bottega.core.finishing import to_the_end
from bottega.db.transaction import Database, Execution
from bottega.llm.errors import ProviderError
from bottega.llm.types import CallObserver, Completion, CompletionRequest, FinishReason, Gateway
from bottega.telemetry import metrics

_log = structlog.get_logger()
_SMALLEST_SHARE = 4  # a reply cut below a quarter of what was asked for is not worth paying for


class RetryPolicy(Protocol):
    def __call__(self, error: ProviderError, *, attempt: int) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up. `attempt` counts from 1."""
        ...


class Shorten(Protocol):
    def __call__(self, request: CompletionRequest, *, max_output_tokens: int) -> CompletionRequest:
        """Return the request with less room for its reply; fewer tokens never make it longer."""
        ...


def only_shorter(request: CompletionRequest, *, max_output_tokens: int) -> CompletionRequest:
    return replace(request, max_output_tokens=max_output_tokens)


class OwnKeys(Protocol):
    async def __call__(self, at: Execution, *, user_id: int, provider: str) -> bool:
        """Tell whether this person's calls to this provider go to keys of their own."""
        ...


async def no_own_keys(at: Execution, *, user_id: int, provider: str) -> bool:
    """Say that everybody's calls go to the platform's keys."""
    del at, user_id, provider
    return False


OnRetry = Callable[[ProviderError, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """Everything metered models share. `hold_ttl_seconds` must outlast the slowest call.

    `own_key_fee` stands in for the markup where a person's own key pays the provider.
    """

    database: Database
    llm: Gateway
    retry: RetryPolicy
    terms: Terms
    clock: Clock
    prices: PriceBook
    hold_ttl_seconds: float = 1800.0
    shorten: Shorten = only_shorter
    own_keys: OwnKeys = no_own_keys
    own_key_fee: Decimal = Decimal(0)

    async def terms_for(self, *, user_id: int, provider: str) -> tuple[Terms, int | None]:
        """Return by what a call of this person's is charged, and whose own keys pay for it, if not the platform's."""
        if await self.own_keys(self.database.autocommit, user_id=user_id, provider=provider):
            return replace(self.terms, markup=self.own_key_fee), user_id
        return self.terms, None

    def account(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID | None,
        operation_key: str,
        lease_token: int,
        task_key: str | None = None,
        on_retry: OnRetry | None = None,
        may_shorten: bool = True,
    ) -> "MeteredLLM":
        """Return a model on this person's account, for one claim (`lease_token`) of one step (`operation_key`).

        `on_retry` hears of every failed attempt that is about to be repeated, and in how many seconds.
        `may_shorten` allows less output than was asked for where credits are short.
        """
        return MeteredLLM(
            metering=self,
            user_id=user_id,
            project_id=project_id,
            operation_key=operation_key,
            lease_token=lease_token,
            task_key=task_key,
            on_retry=on_retry,
            may_shorten=may_shorten,
        )

    @asynccontextmanager
    async def standalone(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID | None,
        operation_key: str,
        task_key: str | None = None,
        may_shorten: bool = True,
    ) -> AsyncIterator["MeteredLLM"]:
        """Lend a model to a caller without a journal: settled when the block ends, not charged when it raises.

        `operation_key` must be new each time. A block that has ended is paid for even when its caller is cancelled
        while the charge is written.
        """
        llm = self.account(
            user_id=user_id,
            project_id=project_id,
            operation_key=operation_key,
            lease_token=0,
            task_key=task_key,
            may_shorten=may_shorten,
        )
        try:
            yield llm
        except BaseException:
            await llm.abandon(status="failed", error_code="defect")
            raise
        metrics.charged(credits=await to_the_end(llm.settle(self.database.autocommit)))


class MeteredLLM:
    """One step's model. Attempts are numbered through its life, so that every call key is used once."""

    def __init__(
        self,
        *,
        metering: Metering,
        user_id: int,
        project_id: uuid.UUID | None,
        operation_key: str,
        lease_token: int,
        task_key: str | None,
        on_retry: OnRetry | None,
        may_shorten: bool,
    ) -> None:
        self._metering = metering
        self._user_id = user_id
        self._project_id = project_id
        self._operation_key = operation_key
        self._lease_token = lease_token
        self._task_key = task_key
        self._on_retry = on_retry
        self._may_shorten = may_shorten
        self._numbers = itertools.count(1)
        self._owed: list[Owed] = []

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        """Answer, trying again as the retry policy says. Text goes to the observer as it arrives.

        An observer that has heard a piece of a reply cannot unhear it: that attempt is the last.
        Raises UnpricedModel and InsufficientCredits before anything is sent, ProviderError when no attempt succeeded.
        """
        for attempt in itertools.count(1):
            started = await to_the_end(self._start(request), undo=self._release)
            observation = Observation(
                database=self._metering.database, usage_id=started.hold.usage_id, outside=observer
            )
            try:
                with telling(started, attempt=attempt, project_id=self._project_id) as told:
                    return await self._attempt(started, observation, told)
            except ProviderError as error:
                delay = None if observation.passed_on else self._metering.retry(error, attempt=attempt)
                if delay is None:
                    raise
                if self._on_retry:
                    self._on_retry(error, delay)
                await self._metering.clock.sleep(delay)
        raise AssertionError  # itertools.count does not end

    async def settle(self, at: Execution) -> Decimal:
        """Charge every reply, in the caller's transaction where there is one; return the credits. Safe to repeat."""
        charged = Decimal(0)
        for owed in self._owed:
            settlement = await ledger.settle(at, usage_id=owed.usage_id, credits=owed.credits, outcome=owed.outcome)
            charged += settlement.charged
            if settlement.unbilled and not settlement.repeated:
                _log.warning("billing.call.unbilled", usage_id=owed.usage_id, credits=str(settlement.unbilled))
        return charged

    async def forgive(self, session: AsyncSession, *, error_code: str) -> None:
        """Charge nothing for replies that were of no use, in the caller's transaction. The record says why."""
        await self._void_owed(session, status=CallStatus.FAILED, error_code=error_code)

    async def abandon(self, *, status: Uncharged = "fenced", error_code: str | None = None) -> None:
        """Charge nothing for replies that came to nothing, in a transaction of its own. Settled ones stay settled."""
        await to_the_end(self._abandon(status, error_code=error_code))

    async def _abandon(self, status: Uncharged, *, error_code: str | None) -> None:
        async with self._metering.database.transaction() as session:
            voided = await self._void_owed(session, status=CallStatus(status), error_code=error_code)
        for owed in voided:
            tell_loss(status=CallStatus(status), cost=owed.outcome.cost)

    async def _void_owed(
        self, session: AsyncSession, *, status: CallStatus, error_code: str | None
    ) -> tuple[Owed, ...]:
        """Return those that had not ended before."""
        voided = []
        for owed in self._owed:
            outcome = replace(owed.outcome, error_code=error_code)
            if await ledger.void(session, usage_id=owed.usage_id, status=status, outcome=outcome):
                voided.append(owed)
        return tuple(voided)

    async def _attempt(self, started: Started, observation: Observation, told: Telling) -> Completion:
        begun = self._metering.clock.monotonic()
        try:
            completion = await self._metering.llm.complete(started.request, observer=observation)
        except BaseException as error:
            elapsed_ms = int((self._metering.clock.monotonic() - begun) * 1000)
            await to_the_end(self._void(started, observation, error=error, elapsed_ms=elapsed_ms, told=told))
            raise
        owed = owed_for(started, completion=completion)
        told.answered(completion, owed)
        if completion.finish is FinishReason.LENGTH and started.is_shortened:
            await to_the_end(self._give_up_shortened(started.asked, owed, terms=started.terms))
        self._owed.append(owed)
        await observation.recorded()
        return completion

    async def _give_up_shortened(self, request: CompletionRequest, owed: Owed, *, terms: Terms) -> NoReturn:
        """Charge nothing for a reply that was cut because the credits allowed no longer one; say what it would take."""
        async with self._metering.database.transaction() as session:
            outcome = replace(owed.outcome, error_code="short_of_credits")
            await ledger.void(session, usage_id=owed.usage_id, status=CallStatus.FAILED, outcome=outcome)
            price = await self._metering.prices.price(session, model=request.model)
            available = await ledger.available(session, user_id=self._user_id)
        needed = charge_credits(worst_case_usd(price, request), terms=terms)
        raise InsufficientCredits(needed=needed, available=available)

    async def _start(self, request: CompletionRequest) -> Started:
        """Hold the worst case; when that is too much, that of a shorter reply; at a price replaced meanwhile, again."""
        call_key = f"{self._operation_key}:{self._lease_token}:{next(self._numbers)}"
        try:
            return await self._hold(request, call_key=call_key)
        except PriceWithdrawn:
            self._metering.prices.forget(request.model)
            return await self._hold(request, call_key=call_key)
        except InsufficientCredits as error:
            shorter = await self._shortened(request, available=error.available) if self._may_shorten else None
            if shorter is None:
                raise
            return replace(await self._hold(shorter, call_key=call_key), asked=request)

    async def _hold(self, request: CompletionRequest, *, call_key: str) -> Started:
        price = await self._price(request)
        terms, owner = await self._terms(request)
        call = Call(
            call_key=call_key,
            operation_key=self._operation_key,
            user_id=self._user_id,
            project_id=self._project_id,
            task_key=self._task_key or request.subject or None,
            task_type=request.purpose.value,
            pricing_id=price.id,
            terms=terms,
            own_key=owner is not None,
            input_tokens_estimated=estimated_usage(request, text="").input_tokens,
        )
        held = await self._held(call, credits=charge_credits(worst_case_usd(price, request), terms=terms))
        sent = replace(request, price_cap=price_cap(price, request), own_keys_of=owner)
        return Started(hold=held, price=price, terms=terms, request=sent, asked=request)

    async def _held(self, call: Call, *, credits: Decimal) -> Hold:
        database, ttl_seconds = self._metering.database, self._metering.hold_ttl_seconds
        held = await ledger.hold_at_once(database.autocommit, call=call, credits=credits, ttl_seconds=ttl_seconds)
        if held is not None:
            return held
        async with database.transaction() as session:
            return await ledger.hold(session, call=call, credits=credits, ttl_seconds=ttl_seconds)

    async def _price(self, request: CompletionRequest) -> Price:
        known = self._metering.prices.known(request.model)
        if known is not None:
            return known
        async with self._metering.database.reading() as session:
            return await self._metering.prices.price(session, model=request.model)

    async def _terms(self, request: CompletionRequest) -> tuple[Terms, int | None]:
        return await self._metering.terms_for(user_id=self._user_id, provider=request.model.provider)

    async def _shortened(self, request: CompletionRequest, *, available: Decimal) -> CompletionRequest | None:
        """Return the request with as much output as the credits allow, or None when that is too little to be of use."""
        price = await self._price(request)
        terms, _ = await self._terms(request)
        if not terms.markup:
            return None
        budget_usd = available * terms.credit_value_usd / terms.markup
        longest = self._metering.shorten(request, max_output_tokens=request.max_output_tokens)
        tokens = output_tokens_within(price, longest, budget_usd=budget_usd)
        if tokens * _SMALLEST_SHARE < request.max_output_tokens:
            return None
        return self._metering.shorten(request, max_output_tokens=tokens)

    async def _release(self, started: Started) -> None:
        """Give back the hold of a call that was never made."""
        outcome = Outcome(error_code="cancelled")
        at = self._metering.database.autocommit
        await ledger.void(at, usage_id=started.hold.usage_id, status=CallStatus.FAILED, outcome=outcome)

    async def _void(
        self, started: Started, observation: Observation, *, error: BaseException, elapsed_ms: int, told: Telling
    ) -> None:
        status, outcome = ending_of(error, observation, price=started.price)
        outcome = replace(outcome, response_time_ms=elapsed_ms)
        told.failed(error, status=status, outcome=outcome)
        await observation.recorded()
        at = self._metering.database.autocommit
        if await ledger.void(at, usage_id=started.hold.usage_id, status=status, outcome=outcome):
            tell_loss(status=status, cost=outcome.cost)
