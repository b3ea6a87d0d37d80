"""OpenRouter, and every server that speaks OpenAI's chat dialect: Ollama, vLLM, llama.cpp, LM Studio.

A cost is taken from the JSON's own digits, never through a float. On calls with one's own key (`is_byok`) the upstream
cost comes on top of OpenRouter's; on all others it repeats it, and adding it up would charge twice. Errors arrive in
three places: as an HTTP status, as an object inside a 200, and in the middle of a stream.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

from bottega.llm.catalogue import Catalogue
from bottega.llm.dialect import (
    Bill,
    Dialect,
    HttpAsk,
    HttpFault,
    Reading,
    complain,
    kind_of,
    retry_after,
    without_slash,
)
from bottega.llm.errors import (
    MalformedResponse,
    Overloaded,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Refused,
    RequestRejected,
)
from bottega.llm.foreign_json import Json, NotJson, as_amount, as_count, as_id, as_list, as_map, as_text, parse
from bottega.llm.openrouter_catalogue import read_catalogue
from bottega.llm.types import CompletionRequest, FinishReason, Usage

BASE_URL = "https://openrouter.ai/api/v1"
SETTING = "OPENROUTER_API_KEY"
LONGEST_SESSION_ID = 256
GENERATION_PREFIX = "gen-"  # ids that can be looked up afterwards

ERROR_TYPES: Mapping[str, type[ProviderError]] = {
    "content_policy_violation": Refused,
    "context_length_exceeded": RequestRejected,
    "moderation": Refused,
    "payment_required": PaymentRequired,
    "provider_overloaded": Overloaded,
    "provider_unavailable": Overloaded,
    "rate_limit_exceeded": RateLimited,
}
LENGTH_FINISHES = {"length", "max_tokens", "model_length"}
TOOL_FINISHES = {"tool_calls", "function_call"}


class OpenAIChat(Dialect):
    """One server of the dialect. OpenRouter's extensions are sent to OpenRouter only, unless `openrouter_extras`."""

    def __init__(
        self, *, base_url: str = BASE_URL, provider: str = "openrouter", openrouter_extras: bool | None = None
    ) -> None:
        self.provider = provider
        self._base_url = without_slash(base_url)
        host = urlsplit(self._base_url).hostname or ""
        own = host == "openrouter.ai" or host.endswith(".openrouter.ai")
        self._extras = own if openrouter_extras is None else openrouter_extras
        self.needs_key = self._extras  # a server of one's own often asks for none

    def ask(self, request: CompletionRequest, *, secret: str) -> HttpAsk:
        body = _body(request)
        if self._extras:
            body |= _extras(request)
        return HttpAsk(
            url=f"{self._base_url}/chat/completions",
            headers={**_authorization(secret), "content-type": "application/json"},
            body=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        )

    def reading(self, request: CompletionRequest) -> "ChatReading":
        return ChatReading(request)

    def fault(self, fault: HttpFault) -> ProviderError:
        try:
            said = as_map(parse(fault.body))
        except NotJson:
            said = {}
        return _complaint(
            _error_in(said) or {}, provider=self.provider, status=fault.status, header_seconds=retry_after(fault)
        )

    def bill_ask(self, request_id: str, *, secret: str) -> HttpAsk | None:
        if not (self._extras or request_id.startswith(GENERATION_PREFIX)):
            return None
        return HttpAsk(
            url=f"{self._base_url}/generation?id={quote(request_id, safe='')}", headers=_authorization(secret)
        )

    def bill(self, body: bytes) -> Bill | None:
        try:
            data = as_map(as_map(parse(body)).get("data"))
        except NotJson:
            return None
        cost = _cost(data, cost=data.get("total_cost"), upstream=data.get("upstream_inference_cost"))
        if cost is None:
            return None
        usage = Usage(
            input_tokens=as_count(data.get("native_tokens_prompt")),
            cached_tokens=as_count(data.get("native_tokens_cached")),
            output_tokens=as_count(data.get("native_tokens_completion")),
            reasoning_tokens=as_count(data.get("native_tokens_reasoning")),
        )
        return Bill(cost_usd=cost, usage=usage)

    def catalogue_ask(self, *, secret: str) -> HttpAsk | None:
        return HttpAsk(url=f"{self._base_url}/models", headers=_authorization(secret))

    def catalogue(self, body: bytes) -> Catalogue:
        try:
            return read_catalogue(body, provider=self.provider)
        except NotJson as error:
            what = "its list of models cannot be read"
            raise complain(MalformedResponse, provider=self.provider, setting=SETTING, words=what) from error


class ChatReading(Reading):
    def __init__(self, request: CompletionRequest) -> None:
        super().__init__(request)
        self._refusal = ""

    def opened(self, headers: Mapping[str, str]) -> None:
        self.request_id = as_id(headers.get("x-generation-id"))

    def feed(self, data: str) -> bool:
        if data.strip() == "[DONE]":
            self.done = True
            return True
        event = as_map(self._parse(data))
        before = (self.characters, self.usage, self.finish)
        self.request_id = self.request_id or as_id(event.get("id"))
        self._count(as_map(event.get("usage")))
        choices = as_list(event.get("choices"))
        choice = as_map(choices[0]) if choices else {}
        if (error := _error_in(event) or _error_in(choice)) is not None:
            raise _complaint(error, provider=self.request.model.provider)
        thought = self._read(as_map(choice.get("delta")) or as_map(choice.get("message")))
        self.finish = as_text(choice.get("finish_reason")) or self.finish
        return thought or before != (self.characters, self.usage, self.finish)

    def verdict(self) -> FinishReason:
        if self.finish in LENGTH_FINISHES:
            return FinishReason.LENGTH
        kind: type[ProviderError] | None = None
        if self.finish == "content_filter" or (self._refusal and not self.characters):
            kind = Refused
        elif self.finish == "error":
            kind = Overloaded
        elif self.finish in TOOL_FINISHES:
            kind = MalformedResponse  # no tool was offered
        if kind is not None:
            words = self._refusal or f"finish reason {self.finish}"
            raise complain(kind, provider=self.request.model.provider, setting=SETTING, words=words)
        return FinishReason.STOP  # some local servers have words of their own: eos, stop_sequence

    def _read(self, delta: Mapping[str, Json]) -> bool:
        """Take the text; tell whether there was reasoning, which is progress but no part of the reply."""
        if text := as_text(delta.get("content")):
            self._take(text)
        self._refusal += as_text(delta.get("refusal"))
        return bool(as_text(delta.get("reasoning")) or as_text(delta.get("reasoning_content")))

    def _count(self, usage: Mapping[str, Json]) -> None:
        if not usage:
            return
        details = as_map(usage.get("prompt_tokens_details"))
        self.raw_usage = usage
        self.cost_usd = _cost(
            usage,
            cost=usage.get("cost"),
            upstream=as_map(usage.get("cost_details")).get("upstream_inference_cost"),
        )
        self.usage = Usage(
            input_tokens=as_count(usage.get("prompt_tokens")),
            cached_tokens=as_count(details.get("cached_tokens")),
            cache_write_tokens=as_count(details.get("cache_write_tokens")),
            output_tokens=as_count(usage.get("completion_tokens")),
            reasoning_tokens=as_count(as_map(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        )


def _cost(said: Mapping[str, Json], *, cost: Json, upstream: Json) -> Decimal | None:
    own = as_amount(cost)
    if own is None or said.get("is_byok") is not True:
        return own
    above = as_amount(upstream)
    return None if above is None else own + above


def _authorization(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"} if secret else {}


def _body(request: CompletionRequest) -> dict[str, Any]:
    system = [{"role": "system", "content": request.system}] if request.system else []
    body: dict[str, Any] = {
        "model": request.model.name,
        "messages": [*system, *({"role": m.role, "content": m.content} for m in request.messages)],
        "max_tokens": request.max_output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.schema is not None:
        schema = {"name": request.purpose.value, "strict": _is_strict(request.schema), "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _extras(request: CompletionRequest) -> dict[str, Any]:
    provider: dict[str, Any] = {}
    if request.price_cap is not None:
        provider["max_price"] = {
            "prompt": f"{request.price_cap.input_usd_per_million:f}",  # as text: a number would be rounded to a float
            "completion": f"{request.price_cap.output_usd_per_million:f}",
        }
    if request.schema is not None:
        provider["require_parameters"] = True  # else a seller that ignores the schema may be picked
    extras: dict[str, Any] = {"provider": provider} if provider else {}
    if request.session:
        extras["session_id"] = request.session[:LONGEST_SESSION_ID]
    return extras


def _is_strict(schema: Json) -> bool:
    """Tell whether OpenAI's strict mode takes a schema: closed objects, every property required. Else it is a 400."""
    if isinstance(schema, list | tuple):
        return all(_is_strict(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(as_map(schema.get("properties"))) != set(as_list(schema.get("required"))):
            return False
    return all(_is_strict(value) for value in schema.values())


def _error_in(said: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Find the error: an object, a bare sentence (Ollama), or the whole message (vLLM)."""
    error = said.get("error")
    if isinstance(error, str) and error:
        return {"message": error}
    if said.get("object") == "error":
        return said
    return as_map(error) or None


def _complaint(
    error: Mapping[str, Json], *, provider: str, status: int | None = None, header_seconds: float | None = None
) -> ProviderError:
    metadata, availability = as_map(error.get("metadata")), as_map(error.get("availability"))
    status = status or as_count(error.get("code")) or None
    named = as_text(metadata.get("error_type")) or as_text(error.get("code")) or as_text(error.get("type"))
    kind = ERROR_TYPES.get(named) or (kind_of(status) if status else Overloaded)
    if status == 403 and metadata.get("reasons"):  # noqa: PLR2004
        kind = Refused  # moderation, not the key
    seconds = as_amount(availability.get("retry_after"))
    words = as_text(error.get("message"))
    if status == 404:  # noqa: PLR2004  # also what is said when nobody sells below the price cap
        words += " (If the model exists, its price may have risen: bottega pricing sync.)"
    return complain(
        kind,
        provider=provider,
        setting=SETTING,
        words=words,
        status=status,
        retry_after_seconds=header_seconds if seconds is None or header_seconds is not None else float(seconds),
    )
