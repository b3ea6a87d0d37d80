"""Google Gemini over its REST interface, always streamed, at one pinned API version.

`usageMetadata` is a running snapshot: the last one counts, they are never summed. `promptTokenCount` includes cached
tokens; `candidatesTokenCount` excludes thoughts, which are billed as output all the same.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

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
    AuthenticationFailed,
    MalformedResponse,
    OutOfQuota,
    ProviderError,
    RateLimited,
    Refused,
)
from bottega.llm.foreign_json import Json, NotJson, as_amount, as_count, as_id, as_list, as_map, as_text, parse
from bottega.llm.types import CompletionRequest, FinishReason, Usage

API_VERSION = "v1beta"
BASE_URL = "https://generativelanguage.googleapis.com"
SETTING = "GOOGLE_API_KEY"

FINISHES = {"STOP": FinishReason.STOP, "MAX_TOKENS": FinishReason.LENGTH}
MISHAPS = {  # the model stumbled over its own protocol; asked again it may well answer
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "MISSING_THOUGHT_SIGNATURE",
    "TOO_MANY_TOOL_CALLS",
    "UNEXPECTED_TOOL_CALL",
}


class Gemini(Dialect):
    provider = "google"
    needs_key = True

    def __init__(self, *, base_url: str = BASE_URL) -> None:
        self._base_url = without_slash(base_url)

    def ask(self, request: CompletionRequest, *, secret: str) -> HttpAsk:
        model = quote(request.model.name, safe="")
        return HttpAsk(
            url=f"{self._base_url}/{API_VERSION}/models/{model}:streamGenerateContent?alt=sse",
            headers={"x-goog-api-key": secret, "content-type": "application/json"},
            body=json.dumps(_body(request), ensure_ascii=False).encode("utf-8", "replace"),
        )

    def reading(self, request: CompletionRequest) -> "GeminiReading":
        return GeminiReading(request)

    def fault(self, fault: HttpFault) -> ProviderError:
        try:
            said = parse(fault.body)
        except NotJson:
            said = None
        said = said[0] if isinstance(said, list) and said else said
        return _complaint(as_map(as_map(said).get("error")), status=fault.status, header_seconds=retry_after(fault))

    def bill_ask(self, request_id: str, *, secret: str) -> HttpAsk | None:  # noqa: ARG002
        return None

    def bill(self, body: bytes) -> Bill | None:  # noqa: ARG002
        return None

    def catalogue_ask(self, *, secret: str) -> HttpAsk | None:  # noqa: ARG002
        return None

    def catalogue(self, body: bytes) -> Catalogue:  # noqa: ARG002
        return Catalogue(provider=self.provider)


class GeminiReading(Reading):
    def opened(self, headers: Mapping[str, str]) -> None:
        """Gemini says nothing of the call in its headers."""

    def feed(self, data: str) -> bool:
        events = self._parse(data)
        # Without `alt=sse` a proxy may hand the whole reply over as one array.
        moved = [self._event(as_map(event)) for event in (events if isinstance(events, list) else [events])]
        return any(moved)

    def verdict(self) -> FinishReason:
        finish = FINISHES.get(self.finish or "")
        if finish is not None:
            return finish
        kind = MalformedResponse if self.finish in MISHAPS else Refused
        raise complain(kind, provider=Gemini.provider, setting=SETTING, words=f"finish reason {self.finish}")

    def _event(self, event: Mapping[str, Json]) -> bool:
        if error := as_map(event.get("error")):
            raise _complaint(error, status=as_count(error.get("code")) or 500)
        before = (self.characters, self.usage, self.finish)
        self.request_id = as_id(event.get("responseId")) or self.request_id
        self._count(as_map(event.get("usageMetadata")))
        blocked = as_text(as_map(event.get("promptFeedback")).get("blockReason"))
        candidates = as_list(event.get("candidates"))
        candidate = as_map(candidates[0]) if candidates else {}
        thought = self._read(candidate)
        self.finish = as_text(candidate.get("finishReason")) or blocked or self.finish
        return thought or before != (self.characters, self.usage, self.finish)

    def _read(self, candidate: Mapping[str, Json]) -> bool:
        """Take the text; tell whether there were thoughts, which are progress but no part of the reply."""
        thought = False
        for part in map(as_map, as_list(as_map(candidate.get("content")).get("parts"))):
            if part.get("thought") is True:
                thought = True
            elif text := as_text(part.get("text")):
                self._take(text)
        return thought

    def _count(self, usage: Mapping[str, Json]) -> None:
        if not usage:
            return
        # A snapshot may leave out what an earlier one said: what was known stays known.
        self.raw_usage = {**self.raw_usage, **usage}
        known = {name: as_count(value) for name, value in self.raw_usage.items()}
        thoughts = known.get("thoughtsTokenCount", 0)
        self.usage = Usage(
            input_tokens=known.get("promptTokenCount", 0) + known.get("toolUsePromptTokenCount", 0),
            cached_tokens=known.get("cachedContentTokenCount", 0),
            output_tokens=known.get("candidatesTokenCount", 0) + thoughts,
            reasoning_tokens=thoughts,
        )


def _body(request: CompletionRequest) -> dict[str, Any]:
    config: dict[str, Any] = {"maxOutputTokens": request.max_output_tokens}
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.schema is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": request.schema}
    body: dict[str, Any] = {
        "contents": [
            {"role": "model" if message.role == "assistant" else "user", "parts": [{"text": message.content}]}
            for message in request.messages
        ],
        "generationConfig": config,
    }
    if request.system:
        body["systemInstruction"] = {"parts": [{"text": request.system}]}
    return body


def _complaint(error: Mapping[str, Json], *, status: int, header_seconds: float | None = None) -> ProviderError:
    details = [as_map(detail) for detail in as_list(error.get("details"))]
    kind = kind_of(status)
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        kind = AuthenticationFailed  # Google says so with a 400
    if kind is RateLimited and _waiting_is_useless(details):
        kind = OutOfQuota
    seconds = next((wait for detail in details if (wait := _duration(detail.get("retryDelay"))) is not None), None)
    return complain(
        kind,
        provider=Gemini.provider,
        setting=SETTING,
        words=as_text(error.get("message")),
        status=status,
        retry_after_seconds=header_seconds if seconds is None else seconds,
    )


def _waiting_is_useless(details: list[Mapping[str, Json]]) -> bool:
    """Tell a daily quota, or one of zero (the tier has no such model), from a quota that refills in a minute."""
    violations = [as_map(violation) for detail in details for violation in as_list(detail.get("violations"))]
    return any("PerDay" in as_text(v.get("quotaId")) or v.get("quotaValue") == "0" for v in violations)


def _duration(value: Json) -> float | None:
    """Read protobuf's JSON duration: "46s", "0.5s"."""
    seconds = as_amount(as_text(value).removesuffix("s"))
    return None if seconds is None else float(seconds)
