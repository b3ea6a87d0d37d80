"""Gemini's dialect without a network: events in, facts out."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.llm.requests import GEMINI, a_request

from bottega.llm.dialect import HttpFault
from bottega.llm.errors import (
    AuthenticationFailed,
    Interrupted,
    MalformedResponse,
    OutOfQuota,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
)
from bottega.llm.gemini import Gemini, GeminiReading
from bottega.llm.types import FinishReason, ModelName, Usage

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def reading(*events: Mapping[str, Any] | str) -> GeminiReading:
    reading = Gemini().reading(a_request(GEMINI))
    for event in events:
        reading.feed(event if isinstance(event, str) else json.dumps(event))
    return reading


def says(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": finish}]}


def usage(**counts: int) -> dict[str, Any]:
    return {"usageMetadata": counts}


def test_usage_is_the_last_snapshot_and_thoughts_are_output() -> None:
    reply = reading(
        says("a") | usage(promptTokenCount=100, cachedContentTokenCount=40, thoughtsTokenCount=9),
        says("b") | usage(promptTokenCount=100, candidatesTokenCount=1, thoughtsTokenCount=12),
        says("c", "STOP") | usage(promptTokenCount=100, candidatesTokenCount=3, toolUsePromptTokenCount=5),
    ).complete()
    assert reply.usage == Usage(input_tokens=105, cached_tokens=40, output_tokens=15, reasoning_tokens=12)
    assert reply.text == "abc"


def test_thoughts_are_progress_but_no_part_of_the_reply() -> None:
    reply = reading()
    assert reply.feed(json.dumps({"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}]}))
    assert reply.text == ""


NOTHING: list[Any] = [{}, {"candidates": []}, {"candidates": [{}]}, {"candidates": [{"content": {}}]}, [], 7, None]


@pytest.mark.parametrize("event", NOTHING)
def test_an_event_that_brings_nothing_is_no_progress(event: Any) -> None:
    assert not reading().feed(json.dumps(event))


def test_a_pair_split_between_events_is_joined_and_what_cannot_be_stored_is_replaced() -> None:
    halves: list[Mapping[str, Any] | str] = [
        '{"candidates":[{"content":{"parts":[{"text":"\\ud83d"}]}}]}',
        says("\ude42 \udc00 \0", "STOP"),
    ]
    assert reading(*halves).complete().text == "🙂 \ufffd \ufffd"


def test_a_reply_as_one_array_is_read_too() -> None:
    assert reading(json.dumps([says("a"), says("b", "STOP")])).complete().text == "ab"


@pytest.mark.parametrize("finish", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII", "OTHER", "SOMETHING_NEW"])
def test_a_block_is_a_refusal(finish: str) -> None:
    with pytest.raises(Refused, match=finish):
        reading(says("half a", finish)).complete()


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
def test_a_models_own_mishap_may_be_tried_again(finish: str) -> None:
    with pytest.raises(MalformedResponse) as caught:
        reading(says("", finish)).complete()
    assert caught.value.retryable


def test_nothing_but_thoughts_up_to_the_limit_says_length() -> None:
    reply = reading({"candidates": [{"finishReason": "MAX_TOKENS"}]} | usage(thoughtsTokenCount=1000)).complete()
    assert (reply.text, reply.finish) == ("", FinishReason.LENGTH)


def test_no_finish_is_an_interruption() -> None:
    with pytest.raises(Interrupted):
        reading(says("half a")).complete()


def fault(status: int, *details: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> ProviderError:
    body = json.dumps({"error": {"code": status, "message": "words\nof theirs", "details": details}}).encode()
    return Gemini().fault(HttpFault(status=status, headers=headers or {}, body=body, received_at=NOW))


def quota(quota_id: str, value: str = "50") -> Mapping[str, Any]:
    return {"violations": [{"quotaId": quota_id, "quotaValue": value}]}


@pytest.mark.parametrize(
    ("status", "details", "kind"),
    [
        (429, [], RateLimited),
        (429, [quota("GenerateRequestsPerMinutePerProject")], RateLimited),
        (429, [quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")], OutOfQuota),
        (429, [quota("GenerateRequestsPerMinutePerProject", "0")], OutOfQuota),
        (400, [{"reason": "API_KEY_INVALID"}], AuthenticationFailed),
        (503, [], Overloaded),
    ],
)
def test_the_details_tell_the_kind(status: int, details: list[Mapping[str, Any]], kind: type[ProviderError]) -> None:
    error = fault(status, *details)
    assert type(error) is kind
    assert "words of theirs" in error.message


@pytest.mark.parametrize(
    ("delay", "headers", "seconds"),
    [
        ("46s", {}, 46.0),
        ("0.25s", {}, 0.25),
        ("35640s", {"retry-after": "1"}, 35640.0),
        ("soon", {"retry-after": "1.5"}, 1.5),
        ("", {"retry-after": "Sat, 21 Nov 2026 00:00:30 GMT"}, 30.0),
        ("", {"retry-after": "Sat, 21 Nov 2026 00:00:30 GMT", "date": "Sat, 21 Nov 2026 00:00:20 GMT"}, 10.0),
        ("", {"retry-after": "yesterday"}, None),
        ("", {"retry-after": "-5"}, None),
        ("", {"retry-after": "nan"}, None),
        ("", {}, None),
    ],
)
def test_the_wait_is_what_the_provider_says(delay: str, headers: Mapping[str, str], seconds: float | None) -> None:
    assert fault(429, {"retryDelay": delay}, headers=headers).retry_after_seconds == seconds


def test_a_model_name_cannot_leave_its_place_in_the_path() -> None:
    ask = Gemini(base_url="http://x/").ask(a_request("google/../../v1/evil?a#b"), secret="s")
    assert ask.url == "http://x/v1beta/models/..%2F..%2Fv1%2Fevil%3Fa%23b:streamGenerateContent?alt=sse"
    assert ModelName.parse("google/a").name == "a"


def test_a_request_never_shows_its_key_or_its_words() -> None:
    assert "s3cr3t" not in repr(Gemini().ask(a_request(text="private"), secret="s3cr3t"))
    assert "private" not in repr(Gemini().ask(a_request(text="private"), secret="s3cr3t"))
