"""The gateway: one attempt at a provider per `complete`, never a hidden retry.

Whoever meters a call runs the retry loop, so that each attempt has its own usage row. A reply that stops coming is
given up: no first word in `first_word_seconds`, no progress in `progress_seconds` (pings are no progress), or longer
than `total_seconds` in all. Whatever ends a call, the error carries what is known of its usage, id and cost.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from bottega.core.clock import Clock, SystemClock
from bottega.core.errors import AppError
from bottega.llm.catalogue import Catalogue
from bottega.llm.dialect import Bill, Dialect, Reading
from bottega.llm.errors import Interrupted, ProviderError, Stalled
from bottega.llm.masking import Mask
from bottega.llm.types import CallObserver, Completion, CompletionRequest, Usage
from bottega.llm.wire import NOT_FOUND, OK, Wire, WireLimits, load_certificates

KEY_SETTINGS = {"google": "GOOGLE_API_KEY", "openrouter": "OPENROUTER_API_KEY"}


class UnknownProvider(AppError):
    code = "unknown_provider"
    http_status = 422

    def __init__(self, provider: str, *, known: Sequence[str]) -> None:
        super().__init__(f"There is no model provider '{provider}'; use one of: {', '.join(sorted(known))}.")
        self.provider = provider


class NoProviderKey(AppError):
    code = "no_provider_key"
    http_status = 503

    def __init__(self, provider: str) -> None:
        setting = KEY_SETTINGS.get(provider, f"{provider.upper()}_API_KEY")
        super().__init__(
            f"There is no key for {provider}: set {setting} (or {setting}_POOL for several) and try again."
        )
        self.provider = provider


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedKey:
    """A key for one call. Only the fingerprint is ever shown or stored.

    `key_id` is its row when it is kept in the database, `owner` the person whose own key it is.
    """

    provider: str
    secret: str = field(repr=False)
    fingerprint: str
    key_id: UUID | None = None
    owner: int | None = None


class KeySource(Protocol):
    async def acquire(self, provider: str, *, owner: int | None = None) -> LeasedKey:
        """Return a key that may be used now, of the platform's or, for an owner, only of their own.

        Raise NoProviderKey where the platform has none.
        """
        ...

    async def report_success(self, key: LeasedKey) -> None: ...

    async def report_failure(self, key: LeasedKey, error: ProviderError) -> None:
        """Hear of a failed call, and say in `error.another_key_ready` whether it may go on at once with another key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a call may be silent, and how often it is asked what a lost call cost.

    `total_seconds` stays below the life of the hold that pays for the call.
    """

    first_word_seconds: float = 60.0
    progress_seconds: float = 30.0
    total_seconds: float = 1200.0
    goodbye_seconds: float = 0.2  # for a server to hang up after it said it was done
    bill_polls_seconds: tuple[float, ...] = (0.5, 1.0, 2.0)  # pauses; the bill appears a moment after the call
    bill_answer_seconds: float = 5.0
    catalogue_seconds: float = 30.0


class LLMClient:
    def __init__(
        self,
        *,
        dialects: Sequence[Dialect],
        keys: KeySource,
        patience: Patience | None = None,
        limits: WireLimits | None = None,
        proxy: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._dialects = {dialect.provider: dialect for dialect in dialects}
        self._keys = keys
        self._patience = patience or Patience()
        self._clock = clock or SystemClock()
        self._wire = Wire(clock=self._clock, limits=limits or WireLimits(), proxy=proxy)

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        """Ask once. Raise ProviderError for what a provider does, NoProviderKey or UnknownProvider before any I/O."""
        dialect = self._dialect(request.model.provider)
        key = await self._key(dialect, owner=request.own_keys_of)
        reading = dialect.reading(request)
        started = self._clock.monotonic()
        try:
            await self._read(reading, dialect, key, observer)
            completion = reading.complete()
            completion = replace(completion, text=Mask(key.secret).text(completion.text))
        except ProviderError as error:
            await self._keys.report_failure(key, error)
            raise await self._with_what_is_known(error, reading, dialect, key) from error.__cause__
        await self._keys.report_success(key)
        if completion.usage_estimated:
            completion = await self._with_bill(completion, dialect, key)
        elapsed_ms = round((self._clock.monotonic() - started) * 1000)
        return replace(completion, key_fingerprint=key.fingerprint, key_id=key.key_id, response_time_ms=elapsed_ms)

    def tells_bills(self, *, provider: str, request_id: str) -> bool:
        """Tell whether the provider can be asked what a call cost. Raise UnknownProvider."""
        return self._dialect(provider).bill_ask(request_id, secret="") is not None

    async def bill(self, *, provider: str, request_id: str, own_keys_of: int | None = None) -> Bill | None:
        """Ask the provider what a call cost, once; None where it knows of no such call, or not yet.

        Raise ProviderError, NoProviderKey or UnknownProvider where it could not be asked.
        """
        dialect = self._dialect(provider)
        return await self._bill(request_id, dialect, await self._key(dialect, owner=own_keys_of))

    async def catalogue(self, *, provider: str) -> Catalogue | None:
        """Ask what models there are, at what price; None where the provider lists no prices. Raise ProviderError."""
        dialect = self._dialect(provider)
        if dialect.catalogue_ask(secret="") is None:
            return None
        try:
            key = await self._keys.acquire(provider)
        except NoProviderKey:
            key = LeasedKey(provider=provider, secret="", fingerprint="")  # such lists are mostly public
        try:
            async with asyncio.timeout(self._patience.catalogue_seconds):
                return await self._catalogue(dialect, key)
        except TimeoutError as error:
            sentence = f"{provider} did not list its models in {self._patience.catalogue_seconds:g} s; try again."
            raise Stalled(sentence, provider=provider) from error
        except ProviderError as error:
            raise _masked(error, key) from error.__cause__

    async def _catalogue(self, dialect: Dialect, key: LeasedKey) -> Catalogue | None:
        ask = dialect.catalogue_ask(secret=key.secret)
        if ask is None:
            return None
        async with self._wire.open(ask, provider=dialect.provider) as answer:
            if answer.status != OK:
                raise dialect.fault(Mask(key.secret).fault(await answer.fault()))
            return dialect.catalogue(await answer.catalogue())

    async def warm_up(self) -> None:
        """Do now, in a thread, what the first call would otherwise wait for."""
        await asyncio.to_thread(load_certificates)

    async def close(self) -> None:
        await self._wire.close()

    # -- one call ------------------------------------------------------------------------------------

    async def _read(self, reading: Reading, dialect: Dialect, key: LeasedKey, observer: CallObserver | None) -> None:
        mask = Mask(key.secret)
        told = _Told(reading, observer, mask=mask)
        ask = dialect.ask(reading.request, secret=key.secret)
        async with self._watched(reading) as watch, self._wire.open(ask, provider=dialect.provider) as answer:
            if answer.status != OK:
                raise dialect.fault(mask.fault(await answer.fault()))
            reading.opened(answer.headers)
            told.again()
            async with aclosing(answer.events()) as events:
                async for event in events:
                    if reading.done:
                        continue  # read to the end, so that the connection can be used again
                    if reading.feed(mask.text(event)):
                        watch.progressed(done=reading.done)
                        told.again()

    @asynccontextmanager
    async def _watched(self, reading: Reading) -> AsyncIterator["_Watch"]:
        """Give the call up when it stalls; a reply that had already finished is kept, whatever followed it."""
        watch: _Watch | None = None
        try:
            async with asyncio.timeout(None) as timer:
                watch = _Watch(timer, self._patience)
                yield watch
        except TimeoutError as error:
            if reading.finish is None:
                sentence = f"{reading.request.model} {watch.silence if watch else ''}; the call was given up."
                raise Stalled(sentence, provider=reading.request.model.provider) from error
        except Interrupted:
            if reading.finish is None:
                raise

    async def _with_what_is_known(
        self, error: ProviderError, reading: Reading, dialect: Dialect, key: LeasedKey
    ) -> ProviderError:
        error = _masked(error, key)
        mask = Mask(key.secret)
        error.key_fingerprint = key.fingerprint
        error.key_id = key.key_id
        error.partial = mask.text(reading.text)
        error.request_id = reading.request_id
        error.usage = reading.usage
        error.cost_usd = reading.cost_usd
        if error.cost_usd is None and error.request_id is not None:
            bill = await self._poll_bill(error.request_id, dialect, key)
            if bill is not None:
                error.cost_usd, error.usage = bill.cost_usd, error.usage or bill.usage
        return error

    # -- what a call cost, asked afterwards ----------------------------------------------------------

    async def _with_bill(self, completion: Completion, dialect: Dialect, key: LeasedKey) -> Completion:
        bill = await self._poll_bill(completion.request_id, dialect, key) if completion.request_id else None
        if bill is None:
            return completion
        return replace(completion, cost_usd=bill.cost_usd, usage=bill.usage, usage_estimated=False)

    async def _poll_bill(self, request_id: str, dialect: Dialect, key: LeasedKey) -> Bill | None:
        if dialect.bill_ask(request_id, secret=key.secret) is None:
            return None
        for pause_seconds in self._patience.bill_polls_seconds:
            await self._clock.sleep(pause_seconds)
            with suppress(ProviderError):  # the cost stays unknown, which the caller's record says
                bill = await self._bill(request_id, dialect, key)
                if bill is not None:
                    return bill
        return None

    async def _bill(self, request_id: str, dialect: Dialect, key: LeasedKey) -> Bill | None:
        ask = dialect.bill_ask(request_id, secret=key.secret)
        if ask is None:
            return None
        try:
            async with (
                asyncio.timeout(self._patience.bill_answer_seconds),
                self._wire.open(ask, provider=dialect.provider) as answer,
            ):
                if answer.status == NOT_FOUND:
                    return None
                if answer.status != OK:
                    raise dialect.fault(await answer.fault())
                return dialect.bill(await answer.body())
        except TimeoutError as error:
            sentence = f"{dialect.provider} did not say in time what a call cost."
            raise Stalled(sentence, provider=dialect.provider) from error

    # -- who answers, with which key -----------------------------------------------------------------

    def _dialect(self, provider: str) -> Dialect:
        if provider not in self._dialects:
            raise UnknownProvider(provider, known=list(self._dialects))
        return self._dialects[provider]

    async def _key(self, dialect: Dialect, *, owner: int | None) -> LeasedKey:
        try:
            return await self._keys.acquire(dialect.provider, owner=owner)
        except NoProviderKey:
            if dialect.needs_key or owner is not None:
                raise
            return LeasedKey(provider=dialect.provider, secret="", fingerprint="")


def _masked(error: ProviderError, key: LeasedKey) -> ProviderError:
    """Return the error without the key, which some servers repeat when they refuse it."""
    error.message = Mask(key.secret).text(error.message)
    error.args = (error.message,)
    return error


class _Told:
    """What an observer has heard of a reading, so that it hears each thing once."""

    def __init__(self, reading: Reading, observer: CallObserver | None, *, mask: Mask) -> None:
        self._reading = reading
        self._observer = observer
        self._mask = mask
        self._request_id: str | None = None
        self._usage: Usage | None = None
        self._pieces = 0

    def again(self) -> None:
        """Tell what is new."""
        reading, observer = self._reading, self._observer
        if observer is None:
            return
        if reading.request_id and reading.request_id != self._request_id:
            self._request_id = reading.request_id
            observer.identified(reading.request_id)
        for piece in reading.pieces[self._pieces :]:
            self._hear(self._mask.piece(piece))
        self._pieces = len(reading.pieces)
        if reading.done or reading.finish:
            self._hear(self._mask.rest())
        if reading.usage is not None and reading.usage != self._usage:
            self._usage = reading.usage
            observer.counted(reading.usage, cost_usd=reading.cost_usd)

    def _hear(self, text: str) -> None:
        if text and self._observer is not None:
            self._observer.received(text)


class _Watch:
    """The stall timer: progress moves the deadline, never past the ceiling."""

    def __init__(self, timer: asyncio.Timeout, patience: Patience) -> None:
        self._timer = timer
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._ceiling = self._loop.time() + patience.total_seconds
        self._spoke = False
        self._wait(patience.first_word_seconds)

    @property
    def silence(self) -> str:
        """Say what ran out."""
        if self._loop.time() >= self._ceiling:
            return f"was not done after {self._patience.total_seconds:g} s"
        if self._spoke:
            return f"stopped for {self._patience.progress_seconds:g} s in the middle of its reply"
        return f"said nothing for {self._patience.first_word_seconds:g} s"

    def progressed(self, *, done: bool) -> None:
        self._spoke = True
        self._wait(self._patience.goodbye_seconds if done else self._patience.progress_seconds)

    def _wait(self, seconds: float) -> None:
        self._timer.reschedule(min(self._ceiling, self._loop.time() + seconds))
