"""What is looked at before anything is read of a request: who asks, and how often."""

import asyncio
from dataclasses import replace

import pytest

from bottega.access.rates import Rate, Rates
from bottega.access.service import Access
from tests.access.scene import AMPLE
from tests.entrypoints.http.api.conftest import Installation, Person

ANNOUNCED = "Content-Type: application/json\r\nContent-Length: 200000\r\n\r\n{"


def access_with(here: Installation, rates: Rates) -> Access:
    access: Access = here.served.state.access
    return replace(access, rates=rates)


async def asked(url: str, *, token: str) -> bytes:
    """Announce a body that never comes, and return the status line."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/projects HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
    writer.write((head + ANNOUNCED).encode())
    try:
        return await asyncio.wait_for(reader.readline(), timeout=5)
    finally:
        writer.close()


@pytest.mark.parametrize("token", ["", "Bearer nonsense", "Basic YTpi"])
async def test_nothing_is_read_of_somebody_who_is_nobody(here: Installation, token: str) -> None:
    assert b" 401 " in await asked(here.url, token=token)


async def test_nothing_is_read_of_somebody_who_asks_too_often(here: Installation, ada: Person) -> None:
    once = Rate(amount=1, seconds=60)
    here.served.state.access = access_with(here, Rates(person=once, address=AMPLE, sign_in=AMPLE))
    await ada.get("/v1/projects")
    assert b" 429 " in await asked(here.url, token=ada.http.headers["authorization"])


async def test_a_request_is_counted_once(here: Installation, ada: Person) -> None:
    here.served.state.access = access_with(
        here, Rates(person=Rate(amount=50, seconds=60), address=AMPLE, sign_in=AMPLE)
    )
    answers = [await ada.http.get("/v1/projects") for _ in range(2)]
    left = [int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0]) for answer in answers]
    assert left == [49, 48]
