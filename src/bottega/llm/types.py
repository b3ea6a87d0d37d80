"""What goes to a language model and what comes back, in our words; a provider's dialect never leaves its file.

In this product "model" always means a language model. Token counts follow one convention for every provider:
`input_tokens` includes cached ones, `output_tokens` includes reasoning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, Self
from uuid import UUID

from bottega.core.errors import AppError


class Purpose(StrEnum):
    GATHER = "gather"
    PLAN = "plan"
    IMPLEMENT = "implement"
    VERIFY = "verify"
    README = "readme"
    RELAY = "relay"  # a tool of the person's own, outside


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"


class UnknownModelName(AppError):
    code = "unknown_model_name"
    http_status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """`provider/name`: google/gemini-2.5-pro, openrouter/deepseek/deepseek-chat, scripted/demo."""

    provider: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        provider, _, name = text.strip().partition("/")
        if not provider or not name:
            raise UnknownModelName(f"'{text}' is not a model name: write provider/model, as in google/gemini-2.5-pro.")
        return cls(provider=provider, name=name)

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    role: str  # user | assistant
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCap:
    """The dearest a call may be routed to, so that a hold is a true upper bound where the provider picks the seller."""

    input_usd_per_million: Decimal
    output_usd_per_million: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """One call. `schema` asks for JSON of that JSON Schema; `max_output_tokens` counts reasoning too.

    `purpose`, `subject` (a task key, or empty) and `attempt` (from 1) say what the call is for; providers on the
    wire do not see them, the ledger and the scripted provider do. `session` groups the calls of one project for
    prompt caches. `own_keys_of` is the account whose own provider keys pay for the call, None for the platform's.
    """

    model: ModelName
    system: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    purpose: Purpose
    subject: str = ""
    attempt: int = 1
    temperature: float | None = None
    schema: Mapping[str, Any] | None = None
    session: str = ""
    price_cap: PriceCap | None = None
    own_keys_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    input_tokens: int = 0
    cached_tokens: int = 0  # part of input_tokens
    cache_write_tokens: int = 0  # part of input_tokens, and no part of cached_tokens
    output_tokens: int = 0
    reasoning_tokens: int = 0  # part of output_tokens
    images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A finished reply. `cost_usd` is what the provider says it bills, None where it does not say."""

    text: str
    finish: FinishReason
    usage: Usage
    model: ModelName
    request_id: str | None = None
    cost_usd: Decimal | None = None
    usage_estimated: bool = False
    key_fingerprint: str = ""
    key_id: UUID | None = None  # of a key kept in the database
    response_time_ms: int = 0
    raw_usage: Mapping[str, Any] = field(default_factory=dict)


class LLM(Protocol):
    """Anything that answers a request: a gateway, a metered gateway, a script."""

    async def complete(self, request: CompletionRequest) -> Completion: ...


class CallObserver(Protocol):
    """Hears of a call while it is under way; none of these may block or raise."""

    def identified(self, request_id: str) -> None:
        """The provider has named the call; from now on its cost can be asked for."""
        ...

    def received(self, text: str) -> None:
        """Another piece of the reply has arrived."""
        ...

    def counted(self, usage: Usage, *, cost_usd: Decimal | None) -> None:
        """The provider has counted what was used so far; each count replaces the one before."""
        ...


class Gateway(Protocol):
    """An unmetered way to providers: what metering wraps, and nothing else may hold."""

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion: ...
