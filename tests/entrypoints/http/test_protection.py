"""Requests that a proxy may have understood in another way: they reach nothing of ours."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from bottega.core.clock import SystemClock
from bottega.entrypoints.http.application import Parts, create_app
from bottega.entrypoints.relay.calls import Calls
from bottega.entrypoints.relay.router import Relay
from tests.entrypoints.http.doors import Nobody
from tests.entrypoints.relay.conftest import client, nothing, served


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    relay = Relay(desk=Nobody(), models=(), calls=Calls(), clock=SystemClock())
    async with served(create_app(Parts(ping=nothing, relay=relay))) as url, client(url) as made:
        yield made


async def test_a_body_of_two_lengths_is_refused_and_what_follows_it_is_not_read(http: httpx2.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head + b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answers = await asyncio.wait_for(reader.read(), timeout=5)
    writer.close()
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b'"ambiguous_length"' in answers
    assert b"x-request-id: " in answers.lower()


@pytest.mark.parametrize("path", ["/%2fhealthz", "/checkout%2Fsuccess", "/checkout%2fsuccess", "/%2F"])
async def test_a_slash_that_is_encoded_divides_nothing(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
async def test_whoever_watches_may_ask_for_the_head_alone(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
