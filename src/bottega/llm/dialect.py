"""What the wire formats have in common: a dialect is pure translation, and only the client does I/O.

A `Dialect` turns a request into an `HttpAsk`, an HTTP error into a `ProviderError`, and gives a `Reading` for every
reply. A `Reading` is fed the events of one stream and knows at any moment what has arrived, so that a reply cut midway
leaves its text, its usage and its id behind.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Protocol

from bottega.llm import foreign_json
from bottega.llm.catalogue import Catalogue
from bottega.llm.errors import (
    AuthenticationFailed,
    Interrupted,
    MalformedResponse,
    OutOfQuota,
    Overloaded,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Refused,
    RequestRejected,
)
from bottega.llm.foreign_json import Json
from bottega.llm.types import Completion, CompletionRequest, FinishReason, Usage

WORDS_SHOWN = 300
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAsk:
    """A request on the wire; without a body it is a GET. The headers carry the key, so they are never shown."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFault:
    """An answer that is not 200. Header names are lower case; `body` is cut at the wire's limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a provider says, afterwards, that a call cost."""

    cost_usd: Decimal
    usage: Usage


class Dialect(Protocol):
    provider: str
    needs_key: bool

    def ask(self, request: CompletionRequest, *, secret: str) -> HttpAsk: ...

    def reading(self, request: CompletionRequest) -> "Reading": ...

    def fault(self, fault: HttpFault) -> ProviderError: ...

    def bill_ask(self, request_id: str, *, secret: str) -> HttpAsk | None:
        """Return how to ask what a call cost, None where this provider does not tell."""
        ...

    def bill(self, body: bytes) -> Bill | None: ...

    def catalogue_ask(self, *, secret: str) -> HttpAsk | None:
        """Return how to ask what models there are at what price, None where this provider lists no prices."""
        ...

    def catalogue(self, body: bytes) -> Catalogue:
        """Read the list; raise MalformedResponse where it is none."""
        ...


class Reading(ABC):
    """What has arrived of one reply. `usage` is None until the provider said something about it."""

    def __init__(self, request: CompletionRequest) -> None:
        self.request = request
        self.usage: Usage | None = None
        self.raw_usage: Mapping[str, Json] = {}
        self.cost_usd: Decimal | None = None
        self.request_id: str | None = None
        self.finish: str | None = None  # in the provider's words
        self.done = False  # nothing more will come, whether or not the server hangs up
        self.characters = 0
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        return mend_text("".join(self.pieces))

    @abstractmethod
    def opened(self, headers: Mapping[str, str]) -> None:
        """Take what the headers tell, before the body can be lost."""

    @abstractmethod
    def feed(self, data: str) -> bool:
        """Take one event; return whether it brought the reply forward. Raise ProviderError for an error in it."""

    @abstractmethod
    def verdict(self) -> FinishReason:
        """Return how a finished reply ended; raise Refused or MalformedResponse where it is no reply."""

    def complete(self) -> Completion:
        """Return the reply at the end of the stream; raise where it ended without a finish."""
        if self.finish is None:
            raise Interrupted(
                f"{self.request.model} stopped in the middle of its reply; it can be asked again.",
                provider=self.request.model.provider,
            )
        finish = self.verdict()
        return Completion(
            text=self.text,
            finish=finish,
            usage=self.usage or self.estimate(),
            model=self.request.model,
            request_id=self.request_id,
            cost_usd=self.cost_usd,
            usage_estimated=self.usage is None,
            raw_usage=foreign_json.plain(self.raw_usage),
        )

    def estimate(self) -> Usage:
        """Count bytes where the provider counted nothing: four to a token."""
        asked = len(self.request.system.encode()) + sum(len(m.content.encode()) for m in self.request.messages)
        return Usage(input_tokens=tokens_in(asked), output_tokens=tokens_in(len(self.text.encode())))

    def _take(self, text: str) -> None:
        self.pieces.append(text)
        self.characters += len(text)

    def _parse(self, data: str) -> Json:
        try:
            return foreign_json.parse(data)
        except foreign_json.NotJson as error:
            raise MalformedResponse(
                f"{self.request.model} sent something that is not JSON; it can be asked again.",
                provider=self.request.model.provider,
            ) from error


def tokens_in(byte_count: int) -> int:
    return -(-byte_count // BYTES_PER_TOKEN)


def mend_text(text: str) -> str:
    """Make text storable: join split surrogate pairs, replace lone ones and NUL."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


KINDS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: PaymentRequired,
    403: AuthenticationFailed,
    408: Overloaded,
    429: RateLimited,
}


def kind_of(status: int) -> type[ProviderError]:
    """Return what an HTTP status means where the body does not know better."""
    return KINDS.get(status) or (Overloaded if status >= 500 else RequestRejected)  # noqa: PLR2004


SENTENCES: Mapping[type[ProviderError], str] = {
    RateLimited: "{name} is limiting requests; wait a little{after}.",
    OutOfQuota: "{name}: the quota of this key is used up{after}.",
    PaymentRequired: "{name}: the account has no credit left; top it up there.",
    Overloaded: "{name} is failing or overloaded right now; try again{after}.",
    AuthenticationFailed: "{name} did not accept the key; check {setting}.",
    RequestRejected: "{name} rejected the request.",
    Refused: "{name} refused to answer this request.",
    MalformedResponse: "{name} gave a reply that cannot be read.",
}


def complain(
    kind: type[ProviderError],
    *,
    provider: str,
    setting: str,
    words: str = "",
    status: int | None = None,
    retry_after_seconds: float | None = None,
) -> ProviderError:
    """Build the error: a sentence for a person, then the provider's own words, bounded and on one line."""
    after = "" if retry_after_seconds is None else f" (it says {retry_after_seconds:g} s)"
    sentence = SENTENCES[kind].format(name=provider, setting=setting, after=after)
    said = " ".join("".join(c if c.isprintable() else " " for c in words).split())[:WORDS_SHOWN]
    source = "It said" if status is None else f"HTTP {status}"
    if said or status is not None:
        sentence += f" {source}: {said}" if said else f" {source}."
    return kind(sentence, provider=provider, retry_after_seconds=retry_after_seconds)


def retry_after(fault: HttpFault) -> float | None:
    """Read Retry-After: seconds or an HTTP date, by the server's own clock where it sent a Date."""
    value = fault.headers.get("retry-after", "").strip()
    if not value:
        return None
    seconds = foreign_json.as_amount(value)
    if seconds is not None:
        return float(seconds)
    until, now = http_date(value), http_date(fault.headers.get("date", "")) or fault.received_at
    return None if until is None else max(0.0, (until - now).total_seconds())


def http_date(value: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def without_slash(url: str) -> str:
    return url.strip().rstrip("/")
