"""The OpenAI chat dialect without a network: OpenRouter and the quirks of local servers."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.llm.requests import OPENROUTER, a_request

from bottega.llm.dialect import HttpFault
from bottega.llm.errors import (
    AuthenticationFailed,
    MalformedResponse,
    Overloaded,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Refused,
    RequestRejected,
)
from bottega.llm.openrouter import ChatReading, OpenAIChat
from bottega.llm.types import FinishReason, PriceCap, Usage

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def reading(*events: Mapping[str, Any] | str) -> ChatReading:
    reading = OpenAIChat().reading(a_request(OPENROUTER))
    for event in events:
        reading.feed(event if isinstance(event, str) else json.dumps(event))
    return reading


def says(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ('{"cost": 0.000123456789012345678}', Decimal("0.000123456789012345678")),
        ('{"cost": 1.5e-05}', Decimal("0.000015")),
        ('{"cost": 0}', Decimal(0)),
        ('{"cost": null}', None),
        ('{"prompt_tokens": 3}', None),
        ('{"cost": -1}', None),
        ('{"cost": 0.1, "cost_details": {"upstream_inference_cost": 0.1}}', Decimal("0.1")),
        ('{"cost": 0.1, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.2}}', Decimal("0.3")),
        ('{"cost": 0, "is_byok": true, "cost_details": {"upstream_inference_cost": null}}', None),
    ],
)
def test_the_cost_is_read_digit_by_digit(usage: str, cost: Decimal | None) -> None:
    reply = reading(says("a", "stop"), f'{{"choices": [], "usage": {usage}}}').complete()
    assert reply.cost_usd == cost
    json.dumps(reply.raw_usage)


def test_usage_includes_cached_and_reasoning_tokens_once() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    reply = reading(says("a", "stop") | {"usage": usage}).complete()
    assert reply.usage == Usage(input_tokens=100, cached_tokens=60, output_tokens=50, reasoning_tokens=20)


@pytest.mark.parametrize(
    "usage",
    [None, {"prompt_tokens": "7"}, {"prompt_tokens": -7}, {"prompt_tokens_details": None}, {"prompt_tokens": True}],
)
def test_odd_usage_breaks_nothing(usage: Any) -> None:
    assert reading(says("a", "stop") | {"usage": usage}).complete().usage.input_tokens in {0, 5}


def test_the_id_of_the_headers_comes_before_that_of_the_body() -> None:
    reply = reading()
    reply.opened({"x-generation-id": "gen-1"})
    reply.feed(json.dumps(says("a", "stop") | {"id": "chatcmpl-2"}))
    assert reply.complete().request_id == "gen-1"


@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_the_limit_says_length(finish: str) -> None:
    assert reading(says("a", finish)).complete().finish is FinishReason.LENGTH


@pytest.mark.parametrize("finish", ["stop", "eos", "stop_sequence"])
def test_local_servers_may_stop_in_their_own_words(finish: str) -> None:
    assert reading(says("a", finish)).complete().finish is FinishReason.STOP


@pytest.mark.parametrize(
    ("finish", "kind"), [("content_filter", Refused), ("tool_calls", MalformedResponse), ("error", Overloaded)]
)
def test_a_finish_that_is_no_reply_is_an_error(finish: str, kind: type[ProviderError]) -> None:
    with pytest.raises(kind):
        reading(says("a", finish)).complete()


def test_a_refusal_in_words_is_told() -> None:
    refusal = {"choices": [{"delta": {"refusal": "I can't help with that"}, "finish_reason": "stop"}]}
    with pytest.raises(Refused, match="I can't help"):
        reading(refusal).complete()


def test_reasoning_is_progress_but_no_part_of_the_reply() -> None:
    reply = reading()
    assert reply.feed('{"choices":[{"delta":{"reasoning":"hm"}}]}')
    assert reply.feed('{"choices":[{"delta":{"reasoning_content":"hm"}}]}')
    assert not reply.feed('{"choices":[{"delta":{"content":""}}]}')
    assert reply.text == ""


def test_a_server_that_does_not_stream_is_understood() -> None:
    whole = {"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}]}
    assert reading(whole).complete().text == "all at once"


ERRORS: dict[str, tuple[Any, type[ProviderError]]] = {
    "inside a 200": ({"error": {"code": 502, "message": "x"}}, Overloaded),
    "in a choice": ({"choices": [{"error": {"code": 429, "message": "x"}}]}, RateLimited),
    "by type": ({"error": {"code": "x", "metadata": {"error_type": "provider_overloaded"}}}, Overloaded),
    "without credit": ({"error": {"code": 402, "message": "x"}}, PaymentRequired),
    "too long": ({"error": {"code": 400, "metadata": {"error_type": "context_length_exceeded"}}}, RequestRejected),
    "by name": ({"error": {"code": "rate_limit_exceeded", "message": "x"}}, RateLimited),
    "unknown": ({"error": {"code": "server_error", "message": "x"}}, Overloaded),
    "bare": ({"error": "model not found"}, Overloaded),
    "whole message": ({"object": "error", "message": "x", "code": 400}, RequestRejected),
}


@pytest.mark.parametrize("place", ERRORS)
def test_an_error_is_found_wherever_it_hides(place: str) -> None:
    event, kind = ERRORS[place]
    with pytest.raises(kind):
        reading(event)


def fault(status: int, error: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> ProviderError:
    body = json.dumps({"error": error}).encode()
    return OpenAIChat().fault(HttpFault(status=status, headers=headers or {}, body=body, received_at=NOW))


def test_moderation_is_no_fault_of_the_key() -> None:
    assert type(fault(403, {"metadata": {"reasons": ["violence"], "flagged_input": "x"}})) is Refused
    assert type(fault(403, {"message": "key disabled"})) is AuthenticationFailed


def test_the_wait_may_stand_in_the_header_or_the_body() -> None:
    assert fault(429, {}, {"retry-after": "2"}).retry_after_seconds == 2
    assert fault(429, {"availability": {"retry_after": 3}}).retry_after_seconds == 3
    assert fault(429, {"availability": {"retry_after": 3}}, {"retry-after": "2"}).retry_after_seconds == 2


def body(**changes: Any) -> dict[str, Any]:
    ask = OpenAIChat().ask(replace(a_request(OPENROUTER), **changes), secret="s")
    assert ask.headers["authorization"] == "Bearer s"
    read: dict[str, Any] = json.loads(ask.body or b"")
    return read


def test_the_price_cap_of_the_hold_travels_with_the_call() -> None:
    cap = PriceCap(input_usd_per_million=Decimal("0.435"), output_usd_per_million=Decimal("1.7"))
    assert body(price_cap=cap)["provider"] == {"max_price": {"prompt": "0.435", "completion": "1.7"}}


@pytest.mark.parametrize("rate", ["0.0000000001", "9999.1234567891", "1E-7", "0", "10000.0000000000"])
def test_a_price_cap_is_sent_to_its_last_digit_without_an_exponent(rate: str) -> None:
    cap = PriceCap(input_usd_per_million=Decimal(rate), output_usd_per_million=Decimal(rate))
    sent = body(price_cap=cap)["provider"]["max_price"]
    assert Decimal(sent["prompt"]) == Decimal(sent["completion"]) == Decimal(rate)
    assert "e" not in sent["prompt"].lower()


def test_tokens_written_to_a_cache_are_counted() -> None:
    details = {"cached_tokens": 60, "cache_write_tokens": 30}
    read = reading({"usage": {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": details}})
    assert read.usage == Usage(input_tokens=100, cached_tokens=60, cache_write_tokens=30, output_tokens=5)


def test_an_unknown_model_or_one_above_the_price_cap_says_what_to_do() -> None:
    said = json.dumps({"error": {"code": 404, "message": "No endpoints found"}}).encode()
    error = OpenAIChat().fault(HttpFault(status=404, headers={}, body=said, received_at=NOW))
    assert isinstance(error, RequestRejected)
    assert "No endpoints found" in error.message
    assert "bottega pricing sync" in error.message


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (CLOSED | {"required": []}, False),
        (CLOSED | {"additionalProperties": {"type": "string"}}, False),
        ({"type": "array", "items": CLOSED}, True),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [CLOSED, {"type": "object"}]}, False),
    ],
)
def test_strict_mode_is_asked_only_of_schemas_it_takes(schema: Mapping[str, Any], *, strict: bool) -> None:
    asked = body(schema=schema)
    assert asked["response_format"]["json_schema"] == {"name": "plan", "strict": strict, "schema": schema}
    assert asked["provider"] == {"require_parameters": True}


def test_no_key_sends_no_authorization() -> None:
    ask = OpenAIChat(base_url="http://localhost:11434/v1/").ask(a_request(OPENROUTER), secret="")
    assert "authorization" not in ask.headers
    assert ask.url == "http://localhost:11434/v1/chat/completions"


@pytest.mark.parametrize(
    ("base_url", "own"),
    [
        ("https://openrouter.ai/api/v1", True),
        ("https://eu.openrouter.ai/api/v1", True),
        ("https://openrouter.ai.evil.example/api/v1", False),
        ("http://localhost:11434/v1", False),
    ],
)
def test_extras_follow_the_host(base_url: str, *, own: bool) -> None:
    asked = json.loads(OpenAIChat(base_url=base_url).ask(a_request(OPENROUTER), secret="s").body or b"")
    assert ("session_id" in asked) is own


def test_a_bill_adds_the_upstream_cost_of_ones_own_key_only() -> None:
    def cost(**data: Any) -> Decimal | None:
        bill = OpenAIChat().bill(json.dumps({"data": data}).encode())
        return None if bill is None else bill.cost_usd

    assert cost(total_cost=0.25, upstream_inference_cost=None) == Decimal("0.25")
    assert cost(total_cost=0.25, upstream_inference_cost=0.5, is_byok=True) == Decimal("0.75")
    assert cost() is None
    assert OpenAIChat().bill(b"<html>") is None
