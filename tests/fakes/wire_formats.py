"""How the fakes of Gemini and OpenRouter stream one reply, and what they bill for what was sent of it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from tests.fakes.http_server import HangUp

if TYPE_CHECKING:
    from tests.fakes.providers import Reply

COMMENT = b": OPENROUTER PROCESSING\n\n"
GEMINI_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "blocked": "SAFETY"}
OPENAI_FINISHES = {"stop": "stop", "length": "length", "blocked": "content_filter", "prompt_blocked": "content_filter"}


class Cost(Protocol):
    def __call__(self, *, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts what is sent of one reply; `settle` bills it, once."""

    id: str
    model: str
    input_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: Cost
    charge: Callable[[Streamed], None]
    sent_bytes: int = 0
    settled: bool = False

    @property
    def text_tokens(self) -> int:
        return -(-self.sent_bytes // 4)

    def now(self) -> Streamed:
        output_tokens = self.text_tokens + self.reasoning_tokens
        cost = self.cost(input_tokens=self.input_tokens, cached_tokens=self.cached_tokens, output_tokens=output_tokens)
        return Streamed(input_tokens=self.input_tokens, output_tokens=output_tokens, cost_usd=cost)

    def settle(self) -> None:
        if not self.settled:
            self.settled = True
            self.charge(self.now())

    def settle_what_was_sent(self) -> None:
        """Bill a reply nobody read to its end; one that never began costs nothing."""
        if self.sent_bytes:
            self.settle()


async def gemini_stream(reply: "Reply", meter: Meter) -> AsyncGenerator[bytes, None]:
    def event(text: str, *, finish: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"index": 0}
        if text or finish != "SAFETY":
            candidate["content"] = {"role": "model", "parts": [{"text": text}]}
        if finish is not None:
            candidate["finishReason"] = finish
        return _google(meter, reply) | {"candidates": [candidate]}

    try:
        async for chunk in _faults_and_text(reply, meter, event=lambda text: _data(event(text))):
            yield chunk
        if reply.finish == "prompt_blocked":
            yield _data(_google(meter, reply) | {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})
        elif reply.finish != "none":
            yield _data(event("", finish=GEMINI_FINISHES[reply.finish]))
        if reply.hang_up_after_finish:
            raise HangUp
    finally:
        meter.settle_what_was_sent()


async def openrouter_stream(reply: "Reply", meter: Meter) -> AsyncGenerator[bytes, None]:
    def event(delta: dict[str, Any], *, finish: str | None = None) -> bytes:
        return _data(_chunk(meter) | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    try:
        for _ in range(reply.comments):
            yield COMMENT
        async for chunk in _faults_and_text(
            reply, meter, event=lambda text: event({"role": "assistant", "content": text})
        ):
            yield chunk
        if reply.finish == "none":
            return
        yield event({"content": ""}, finish=OPENAI_FINISHES[reply.finish])
        if reply.hang_up_after_finish:
            raise HangUp
        if reply.usage:
            yield _data(_chunk(meter) | {"choices": [], "usage": _openai_usage(meter, reply)})
        yield b"data: [DONE]\n\n"
    finally:
        meter.settle_what_was_sent()


async def _faults_and_text(
    reply: "Reply", meter: Meter, *, event: Callable[[str], bytes]
) -> AsyncGenerator[bytes, None]:
    """Send the text in pieces, up to the character where something was scripted to happen."""
    await asyncio.sleep(reply.delay_seconds)
    while reply.ping_for_ever_seconds is not None:
        yield reply.ping
        await asyncio.sleep(reply.ping_for_ever_seconds)
    stops = [reply.cut_after, reply.stall_after, reply.fail_after, reply.garbage_after]
    end = min((stop for stop in stops if stop is not None), default=len(reply.text))
    for piece in _pieces(reply.text[:end], reply.piece_characters):
        meter.sent_bytes += len(piece.encode())
        yield event(piece)
        if reply.pause_seconds:
            await asyncio.sleep(reply.pause_seconds)
    meter.settle()  # before the client can have seen the end
    if reply.cut_after is not None:
        yield event("never seen")[:30]
        raise HangUp
    if reply.stall_after is not None:
        await asyncio.Event().wait()
    if reply.fail_after is not None:
        yield _data({"error": {"code": 502, "message": "Provider disconnected"}})
        raise HangUp
    if reply.garbage_after is not None:
        yield b"data: {not json\n\n"


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _google(meter: Meter, reply: "Reply") -> dict[str, Any]:
    usage = {
        "promptTokenCount": meter.input_tokens,
        "candidatesTokenCount": meter.text_tokens,
        "totalTokenCount": meter.input_tokens + meter.text_tokens + meter.reasoning_tokens,
    }
    if meter.cached_tokens:
        usage["cachedContentTokenCount"] = meter.cached_tokens
    if meter.reasoning_tokens:
        usage["thoughtsTokenCount"] = meter.reasoning_tokens
    said: dict[str, Any] = {"modelVersion": meter.model, "responseId": meter.id}
    return said | ({"usageMetadata": usage} if reply.usage else {})


def _chunk(meter: Meter) -> dict[str, Any]:
    return {"id": meter.id, "model": meter.model, "object": "chat.completion.chunk", "provider": "fake", "created": 1}


def _openai_usage(meter: Meter, reply: "Reply") -> dict[str, Any]:
    billed = meter.now()
    own_cost = Decimal(0) if reply.is_byok else billed.cost_usd
    return {
        "prompt_tokens": billed.input_tokens,
        "completion_tokens": billed.output_tokens,
        "total_tokens": billed.input_tokens + billed.output_tokens,
        "cost": float(own_cost),
        "is_byok": reply.is_byok,
        "cost_details": {"upstream_inference_cost": float(billed.cost_usd)},  # repeats the cost where it is no BYOK
        "prompt_tokens_details": {"cached_tokens": meter.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": meter.reasoning_tokens},
    }


def _data(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()
