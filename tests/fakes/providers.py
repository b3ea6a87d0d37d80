"""Gemini and OpenRouter over real HTTP on loopback, strict about what they are asked and exact about what they bill.

    async with FakeProviders() as fake:
        fake.enqueue(Reply(text="hello"), rate_limited(retry_after_seconds=0.1))    # in turn, then
        fake.answer = lambda ask: Reply(text=f"you said {ask.prompt}")               # whatever is asked
        ... GEMINI_BASE_URL=fake.gemini_url OPENROUTER_BASE_URL=fake.openrouter_url ...
        assert sum(charge.cost_usd for charge in fake.charged) == ...

`fake.asks` is every request as understood; a request the real provider would refuse gets its 400, 401 or 404. What is
billed for a reply cut midway is what had been sent of it, whoever cut it.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from tests.fakes.catalogue import listed, models_answer
from tests.fakes.http_server import HttpRequest, HttpResponse, HttpServer, Reset, Silence
from tests.fakes.wire_formats import Meter, Streamed, gemini_stream, openrouter_stream

GEMINI_CONFIG = {
    "maxOutputTokens",
    "temperature",
    "responseMimeType",
    "responseJsonSchema",
    "responseSchema",
    "thinkingConfig",
}
PER_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, the same for both providers."""

    number: int
    provider: str
    model: str
    system: str
    turns: tuple[tuple[str, str], ...]  # (user | assistant, text)
    key: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def prompt(self) -> str:
        """What was said last."""
        return self.turns[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer. With `status` other than 200 it is an error of that provider's shape, or `raw` as it stands."""

    text: str = ""
    finish: str = "stop"  # stop | length | blocked | prompt_blocked | none (the stream ends without one)
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    is_byok: bool = False
    usage: bool = True  # False: none is sent, as by some local servers
    instead: type[Reset | Silence] | None = None  # of any answer
    delay_seconds: float = 0.0  # before the first byte
    comments: int = 1  # ": OPENROUTER PROCESSING" before the first event
    ping_for_ever_seconds: float | None = None  # nothing but `ping`, this far apart
    ping: bytes = b": OPENROUTER PROCESSING\n\n"
    hang_up_after_finish: bool = False  # no usage, no goodbye
    piece_characters: int = 400
    pause_seconds: float = 0.0  # between pieces
    cut_after: int | None = None  # characters; then half an event, then the connection is gone
    stall_after: int | None = None  # characters; then silence until the client hangs up
    fail_after: int | None = None  # characters; then an error event
    garbage_after: int | None = None  # characters; then an event that is not JSON
    status: int = 200
    message: str = "scripted"
    headers: Mapping[str, str] = field(default_factory=dict)
    details: tuple[Mapping[str, Any], ...] = ()  # Gemini: google.rpc details
    raw: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    id: str
    provider: str
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal
    is_byok: bool = False


def rate_limited(*, retry_after_seconds: float | None = None, per_day: bool = False) -> Reply:
    """429, with Retry-After and Google's RetryInfo where a wait is given."""
    quota = "GenerateRequestsPerDayPerProjectPerModel" if per_day else "GenerateRequestsPerMinutePerProjectPerModel"
    details: list[Mapping[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]}
    ]
    headers = {}
    if retry_after_seconds is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after_seconds}s"})
        headers = {"Retry-After": f"{retry_after_seconds}"}
    return Reply(status=429, message="Resource has been exhausted", headers=headers, details=tuple(details))


def out_of_credit() -> Reply:
    return Reply(status=402, message="Insufficient credits")


def failing(status: int = 503) -> Reply:
    return Reply(status=status, message="The model is overloaded")


def blocked() -> Reply:
    """A safety block after the prompt was read, and billed."""
    return Reply(finish="blocked")


def reset() -> Reply:
    return Reply(instead=Reset)


def silent() -> Reply:
    """The connection is accepted, and that is all."""
    return Reply(instead=Silence)


def wrong_content_type() -> Reply:
    return Reply(raw=b"<html>Sign in to the hotel's network</html>", headers={"content-type": "text/html"})


class FakeProviders:
    """Prices per million tokens are the same for every model of both providers."""

    def __init__(
        self,
        *,
        input_usd: Decimal = Decimal("0.50"),
        cached_usd: Decimal = Decimal("0.05"),
        output_usd: Decimal = Decimal("2.00"),
    ) -> None:
        self.asks: list[Ask] = []
        self.charged: list[Charge] = []
        self.answer: Callable[[Ask], Reply] | None = None
        self.bills_known_after = 0  # lookups of /generation that still find nothing
        self.bills_fail_with: int | None = None  # the status with which they are all refused
        self.name_calls: Callable[[int], str] = "gen-fake-{:06d}".format  # by number
        self._prices = (input_usd, cached_usd, output_usd)
        self.models: Sequence[Any] | HttpResponse = [_catalogue_entry(self._prices)]
        self.catalogues_asked = 0
        self._queue: deque[Reply] = deque()
        self._bills: dict[str, Charge] = {}
        self.server = HttpServer(self._handle)

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.__aexit__(kind, error, trace)

    @property
    def gemini_url(self) -> str:
        return self.server.url

    @property
    def openrouter_url(self) -> str:
        return f"{self.server.url}/api/v1"

    def enqueue(self, *replies: Reply | str) -> None:
        self._queue.extend(Reply(text=reply) if isinstance(reply, str) else reply for reply in replies)

    def cost(self, *, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal:
        input_usd, cached_usd, output_usd = self._prices
        fresh = input_tokens - cached_tokens
        cost = (fresh * input_usd + cached_tokens * cached_usd + output_tokens * output_usd) / PER_MILLION
        assert Decimal(repr(float(cost))) == cost, "a JSON number must carry this cost exactly"
        return cost

    # -- routes --------------------------------------------------------------------------------------

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        path = request.path
        if request.method == "GET":
            return self._look_up(path, request.query)
        try:
            body = json.loads(request.body)
        except ValueError:
            return _json(400, _google_error(400, "Invalid JSON payload received."))
        for version in ("/v1beta/models/", "/v1/models/"):
            if path.startswith(version):
                return self._gemini(path.removeprefix(version), request, body)
        if path == "/api/v1/chat/completions":
            return self._openrouter(request, body)
        return _json(404, {"error": {"code": 404, "message": f"no such path {path}"}})

    def _gemini(self, target: str, request: HttpRequest, body: Mapping[str, Any]) -> HttpResponse:
        model, _, verb = target.partition(":")
        if verb != "streamGenerateContent" or request.query != {"alt": "sse"}:
            return _json(404, _google_error(404, f"{verb} with {dict(request.query)} is not what this fake serves"))
        if not request.headers.get("x-goog-api-key"):
            return _json(403, _google_error(403, "Method doesn't allow unregistered callers"))
        if fault := _gemini_fault(body):
            return _json(400, _google_error(400, fault))
        ask = Ask(
            number=len(self.asks) + 1,
            provider="google",
            model=model,
            system="".join(part["text"] for part in body.get("systemInstruction", {}).get("parts", [])),
            turns=tuple(
                ("assistant" if turn["role"] == "model" else "user", turn["parts"][0]["text"])
                for turn in body["contents"]
            ),
            key=request.headers["x-goog-api-key"],
            body=body,
            headers=request.headers,
        )
        reply = self._reply(ask)
        if reply.raw is not None or reply.status != 200:
            return _other(reply, _google_error(reply.status, reply.message, details=reply.details))
        return HttpResponse(
            headers={"content-type": "text/event-stream"}, stream=gemini_stream(reply, self._meter(ask, reply))
        )

    def _openrouter(self, request: HttpRequest, body: Mapping[str, Any]) -> HttpResponse:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            return _json(401, {"error": {"code": 401, "message": "No auth credentials found"}})
        if fault := _openrouter_fault(body):
            return _json(400, {"error": {"code": 400, "message": fault}})
        messages = body["messages"]
        ask = Ask(
            number=len(self.asks) + 1,
            provider="openrouter",
            model=body["model"],
            system="".join(m["content"] for m in messages if m["role"] == "system"),
            turns=tuple((m["role"], m["content"]) for m in messages if m["role"] != "system"),
            key=key,
            body=body,
            headers=request.headers,
        )
        reply = self._reply(ask)
        if reply.raw is not None or reply.status != 200:
            return _other(reply, {"error": {"code": reply.status, "message": reply.message}})
        meter = self._meter(ask, reply)
        return HttpResponse(
            headers={"content-type": "text/event-stream", "x-generation-id": meter.id},
            stream=openrouter_stream(reply, meter),
        )

    def _look_up(self, path: str, query: Mapping[str, str]) -> HttpResponse:
        if path == "/api/v1/models":
            self.catalogues_asked += 1
            return models_answer(self.models, query=query)
        if path == "/api/v1/key":
            return _json(200, {"data": {"label": "fake", "limit": None, "limit_remaining": None, "usage": 0}})
        if self.bills_fail_with is not None:
            return _json(self.bills_fail_with, {"error": {"code": self.bills_fail_with, "message": "not now"}})
        charge = self._bills.get(query.get("id", ""))
        if path != "/api/v1/generation" or charge is None or self.bills_known_after > 0:
            self.bills_known_after -= 1
            return _json(404, {"error": {"code": 404, "message": "Not found"}})
        return _json(200, {"data": _generation(charge)})

    def _reply(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        reply = self._queue.popleft() if self._queue else self._improvised(ask)
        if reply.instead is not None:
            raise reply.instead
        return reply

    def _improvised(self, ask: Ask) -> Reply:
        assert self.answer is not None, f"nothing is enqueued for request {ask.number}: {ask.prompt[:200]}"
        return self.answer(ask)

    def _meter(self, ask: Ask, reply: Reply) -> Meter:
        asked = ask.system + "".join(text for _, text in ask.turns)
        return Meter(
            id=self.name_calls(ask.number),
            model=ask.model,
            input_tokens=-(-len(asked.encode()) // 4),
            cached_tokens=reply.cached_tokens,
            reasoning_tokens=reply.reasoning_tokens,
            cost=self.cost,
            charge=lambda sent: self._charge(ask, reply, sent),
        )

    def _charge(self, ask: Ask, reply: Reply, sent: Streamed) -> None:
        charge = Charge(
            id=self.name_calls(ask.number),
            provider=ask.provider,
            model=ask.model,
            input_tokens=sent.input_tokens,
            cached_tokens=reply.cached_tokens,
            output_tokens=sent.output_tokens,
            reasoning_tokens=reply.reasoning_tokens,
            cost_usd=sent.cost_usd,
            is_byok=reply.is_byok,
        )
        self.charged.append(charge)
        self._bills[charge.id] = charge


def _gemini_fault(body: Mapping[str, Any]) -> str:
    unknown = set(body) - {"contents", "systemInstruction", "generationConfig"}
    config = body.get("generationConfig", {})
    unknown |= set(config) - GEMINI_CONFIG
    if unknown:
        return f"Invalid JSON payload received. Unknown name {sorted(unknown)}"
    if not body.get("contents") or any(turn.get("role") not in {"user", "model"} for turn in body["contents"]):
        return "contents must be turns of user and model"
    if not isinstance(config.get("maxOutputTokens"), int) or config["maxOutputTokens"] < 1:
        return "this fake wants maxOutputTokens on every call"
    return ""


def _openrouter_fault(body: Mapping[str, Any]) -> str:
    if not body.get("model") or not body.get("messages"):
        return "model and messages are required"
    if any(message.get("role") not in {"system", "user", "assistant"} for message in body["messages"]):
        return "unknown role"
    if body.get("stream") is not True or body.get("stream_options") != {"include_usage": True}:
        return "this fake wants a stream with its usage"
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        return "this fake wants max_tokens on every call"
    return ""


def _google_error(code: int, message: str, *, details: tuple[Mapping[str, Any], ...] = ()) -> dict[str, Any]:
    names = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    error = {"code": code, "message": message, "status": names.get(code, "UNAVAILABLE"), "details": list(details)}
    return {"error": error}


def _catalogue_entry(prices: tuple[Decimal, ...]) -> dict[str, Any]:
    prompt, cached, completion = (f"{price / PER_MILLION:f}" for price in prices)
    return listed("fake/model", prompt=prompt, input_cache_read=cached, completion=completion, request="0", image="0")


def _generation(charge: Charge) -> dict[str, Any]:
    return {
        "id": charge.id,
        "model": charge.model,
        "total_cost": 0 if charge.is_byok else float(charge.cost_usd),
        "upstream_inference_cost": float(charge.cost_usd) if charge.is_byok else None,
        "is_byok": charge.is_byok,
        "native_tokens_prompt": charge.input_tokens,
        "native_tokens_cached": charge.cached_tokens,
        "native_tokens_completion": charge.output_tokens,
        "native_tokens_reasoning": charge.reasoning_tokens,
    }


def _other(reply: Reply, error: Mapping[str, Any]) -> HttpResponse:
    if reply.raw is not None:
        return HttpResponse(status=reply.status, headers=reply.headers, body=reply.raw)
    return _json(reply.status, error, headers=reply.headers)


def _json(status: int, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(
        status=status, headers={"content-type": "application/json", **(headers or {})}, body=json.dumps(body).encode()
    )
