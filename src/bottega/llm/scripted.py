"""A model whose replies are files: the demo, the tests and every failure one wishes to see, without a network.

The reply to (purpose, subject, attempt) is `<purpose>[-<subject>]-<attempt>.md`: plan-1.md, implement-T2-1.md. Nothing
is consumed, so that any number of runs, restarts and processes may share a script. `<same name>.error.json` is raised
before the reply is given, the first time that request is tried (or the first `times`):

    {"error": "rate_limited", "retry_after": 0.2}    {"error": "interrupted", "cut_after": 200}    {"error": "refused"}

`error` is the `code` of a ProviderError. Usage is counted at four bytes to a token; `charged` is what was billed.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from bottega.core.clock import Clock, SystemClock
from bottega.core.errors import AppError
from bottega.llm.dialect import tokens_in
from bottega.llm.errors import (
    AuthenticationFailed,
    Disconnected,
    Interrupted,
    MalformedResponse,
    OutOfQuota,
    Overloaded,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Refused,
    RequestRejected,
    Stalled,
)
from bottega.llm.types import CallObserver, Completion, CompletionRequest, FinishReason, ModelName, Usage

PER_MILLION = Decimal(1_000_000)

ERRORS: Mapping[str, type[ProviderError]] = {
    kind.code: kind
    for kind in (
        AuthenticationFailed,
        Disconnected,
        Interrupted,
        MalformedResponse,
        OutOfQuota,
        Overloaded,
        PaymentRequired,
        RateLimited,
        Refused,
        RequestRejected,
        Stalled,
    )
}
BILLED = (Interrupted, MalformedResponse, Refused)  # where a provider charges for a call that failed


class ScriptExhausted(AppError):
    code = "script_exhausted"
    http_status = 409

    def __init__(self, missing: str, *, place: str) -> None:
        super().__init__(f"The script has no reply '{missing}' in {place}: add it, or use a real model.")
        self.missing = missing


class BrokenScript(AppError):
    code = "broken_script"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedPrice:
    input_usd_per_million: Decimal = Decimal(0)
    output_usd_per_million: Decimal = Decimal(0)

    def cost(self, usage: Usage) -> Decimal:
        """Return the exact cost, not rounded."""
        spent = usage.input_tokens * self.input_usd_per_million + usage.output_tokens * self.output_usd_per_million
        return spent / PER_MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedCharge:
    request_id: str
    model: ModelName
    usage: Usage
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedError:
    kind: type[ProviderError]
    times: int = 1
    retry_after_seconds: float | None = None
    cut_after: int | None = None
    message: str = ""


@dataclass(slots=True, kw_only=True)
class ScriptedProvider:
    """`script` is a folder, or its files as a mapping of name to text. `fallback` answers what the script does not.

    `latency` gives the seconds a call takes; `before_call` runs first and may raise, to catch a call at a bad time.
    """

    script: Path | Mapping[str, str] = field(default_factory=dict)
    price: ScriptedPrice = field(default_factory=ScriptedPrice)
    fallback: Callable[[CompletionRequest], str] | None = None
    latency: Callable[[CompletionRequest], float] | None = None
    before_call: Callable[[], None] | None = None
    clock: Clock = field(default_factory=SystemClock)
    charged: list[ScriptedCharge] = field(default_factory=list, init=False)
    _tries: Counter[tuple[str, str]] = field(default_factory=Counter, init=False)

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        """Give the scripted reply or error. Raise ScriptExhausted naming the file that is missing."""
        if self.before_call is not None:
            self.before_call()
        started = self.clock.monotonic()
        if self.latency is not None:
            await self.clock.sleep(self.latency(request))
        stem = stem_of(request)
        self._tries[request.session, stem] += 1
        attempt = self._tries[request.session, stem]
        error = self._error(stem)
        if error is not None and attempt <= error.times:
            raise self._failure(error, request, request_id=_request_id(request, attempt))
        text = self._reply(request)
        charge = self._charge(request, text, request_id=_request_id(request, attempt))
        if observer is not None:
            observer.identified(charge.request_id)
            observer.received(text)
            observer.counted(charge.usage, cost_usd=charge.cost_usd)
        return Completion(
            text=text,
            finish=FinishReason.STOP,
            usage=charge.usage,
            model=request.model,
            request_id=charge.request_id,
            cost_usd=charge.cost_usd,
            key_fingerprint="scripted",
            response_time_ms=round((self.clock.monotonic() - started) * 1000),
            raw_usage={"input_tokens": charge.usage.input_tokens, "output_tokens": charge.usage.output_tokens},
        )

    def _reply(self, request: CompletionRequest) -> str:
        name = f"{stem_of(request)}.md"
        text = self._file(name)
        if text is None and self.fallback is not None:
            text = self.fallback(request)
        if text is None:
            raise ScriptExhausted(name, place=str(self.script) if isinstance(self.script, Path) else "memory")
        return text

    def _failure(self, error: ScriptedError, request: CompletionRequest, *, request_id: str) -> ProviderError:
        partial = self._reply(request)[: error.cut_after] if error.kind is Interrupted else ""
        charge = self._charge(request, partial, request_id=request_id) if issubclass(error.kind, BILLED) else None
        return error.kind(
            error.message or f"The script makes {request.model} fail here: {error.kind.code}.",
            provider=request.model.provider,
            retry_after_seconds=error.retry_after_seconds,
            usage=charge.usage if charge else None,
            cost_usd=charge.cost_usd if charge else None,
            request_id=charge.request_id if charge else None,
            partial=partial,
            key_fingerprint="scripted",
        )

    def _charge(self, request: CompletionRequest, text: str, *, request_id: str) -> ScriptedCharge:
        asked = len(request.system.encode()) + sum(len(message.content.encode()) for message in request.messages)
        usage = Usage(input_tokens=tokens_in(asked), output_tokens=tokens_in(len(text.encode(errors="replace"))))
        charge = ScriptedCharge(
            request_id=request_id, model=request.model, usage=usage, cost_usd=self.price.cost(usage)
        )
        self.charged.append(charge)
        return charge

    def _error(self, stem: str) -> ScriptedError | None:
        name = f"{stem}.error.json"
        text = self._file(name)
        if text is None:
            return None
        try:
            said = json.loads(text)
            return ScriptedError(
                kind=ERRORS[said["error"]],
                times=int(said.get("times", 1)),
                retry_after_seconds=said.get("retry_after"),
                cut_after=said.get("cut_after"),
                message=said.get("message", ""),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            known = ", ".join(sorted(ERRORS))
            raise BrokenScript(f"'{name}' is no scripted error: it needs \"error\", one of {known}.") from error

    def _file(self, name: str) -> str | None:
        if not isinstance(self.script, Path):
            return self.script.get(name)
        try:
            return (self.script / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None


def stem_of(request: CompletionRequest) -> str:
    """Return the name, without suffix, of the file that answers a request."""
    subject = re.sub(r"[^A-Za-z0-9_.-]", "_", request.subject)  # a subject is no path
    return "-".join(part for part in (request.purpose.value, subject, str(request.attempt)) if part)


def _request_id(request: CompletionRequest, attempt: int) -> str:
    told = [request.session, str(request.model), stem_of(request), str(attempt), request.system]
    told += [f"{message.role}:{message.content}" for message in request.messages]
    return "scripted-" + hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
