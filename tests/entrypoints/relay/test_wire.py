"""OpenAI's format, read strictly where it matters and loosely where it does not."""

import json
from typing import Any

import pytest

from bottega.entrypoints.relay.wire import MOST_OUTPUT_TOKENS, InvalidRequest, parse
from tests.entrypoints.relay.conftest import asking


@pytest.mark.parametrize(
    ("rest", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}] * 1001}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
        ({"messages": "hello"}, "messages"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"n": 2}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{}]}, "functions"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["END"]}, "stop"),
        ({"modalities": ["audio"]}, "modalities.0"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_not_served_is_said(rest: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(json.dumps(asking() | rest).encode())
    assert refused.value.param == param
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"hello"',
        b"\xff\xfe",
        b'{"model": "openrouter/fake/small", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "openrouter/fake/small", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "openrouter/fake/small", "temperature": NaN, "messages": [{"role": "user", "content": "x"}]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=[
        "nothing",
        "half",
        "list",
        "text",
        "no UTF-8",
        "no UTF-8 within",
        "half a character",
        "NaN",
        "deep lists",
        "deep maps",
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(body)
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    "rest",
    [
        {"top_p": 0.1, "seed": 7, "presence_penalty": 1, "user": "ada", "store": False, "metadata": {"a": "b"}},
        {"tools": [], "tool_choice": "none", "logprobs": False, "stop": None, "n": 1, "temperature": None},
        {"response_format": {"type": "text"}, "stream_options": None, "something_new": [1, 2, 3]},
        {"messages": [{"role": "user", "content": "x", "name": "ada", "tool_calls": None, "extra": 1}]},
    ],
    ids=["hints", "nothing asked", "defaults", "in a message"],
)
def test_what_changes_nothing_is_ignored(rest: dict[str, Any]) -> None:
    assert parse(json.dumps(asking() | rest).encode()).request.messages


def test_the_length_of_a_reply_is_bounded() -> None:
    unasked = asking()
    del unasked["max_tokens"]
    assert parse(json.dumps(unasked).encode()).request.max_output_tokens == 8192
    endless = parse(json.dumps(asking(max_tokens=10**12)).encode())
    assert endless.request.max_output_tokens == MOST_OUTPUT_TOKENS


def test_a_thousand_messages_are_taken() -> None:
    messages = [{"role": "user", "content": "x"}] * 1000
    assert len(parse(json.dumps(asking(messages)).encode()).request.messages) == 1000
