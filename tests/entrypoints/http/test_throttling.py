"""How often an address and a person may ask, whom a proxy may speak for, and which pages may call."""

import re
from collections.abc import Mapping

import httpx2
import pytest
from starlette.requests import Request

from bottega.access.rates import Rate, Rates
from bottega.db.transaction import Database
from bottega.entrypoints.http.throttling import address_of
from tests.access.scene import AMPLE
from tests.database import MakeUser
from tests.entrypoints.http.doors import doors
from tests.fakes.redis_server import RedisServer

THREE = Rate(amount=3, seconds=60)


def statuses(answers: list[httpx2.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


async def test_a_person_who_asks_too_often_waits_whatever_token_they_use(
    database: Database, database_url: str, make_user: MakeUser
) -> None:
    rates = Rates(person=THREE, address=AMPLE, sign_in=AMPLE)
    async with doors(database, database_url=database_url, rates=rates) as here:
        mine, other = await make_user(), await make_user()
        tokens = [(await here.scene.signed_in(user)).access.token for user in (mine, mine, other)]
        answers = [await here.ask(tokens[number % 2]) for number in range(4)]
        assert statuses(answers) == [200, 200, 200, 429]
        assert [answer.headers["ratelimit"].partition(";t")[0] for answer in answers] == [
            f'"person";r={left}' for left in (2, 1, 0, 0)
        ]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert "retry-after" not in answers[0].headers
        assert answers[-1].json()["code"] == "too_many_requests"
        assert (await here.ask(tokens[2])).status_code == 200


async def test_an_address_that_asks_too_often_waits_though_its_tokens_are_wrong(
    database: Database, database_url: str
) -> None:
    rates = Rates(person=AMPLE, address=THREE, sign_in=AMPLE)
    async with doors(database, database_url=database_url, rates=rates) as here:
        assert statuses([await here.ask("nonsense") for _ in range(4)]) == [401, 401, 401, 429]
        for path in ("/healthz", "/readyz", "/"):
            assert (await here.http.get(path)).status_code == 200, "whoever looks after us is not counted"


async def test_without_redis_the_api_goes_on_and_signing_in_is_still_counted(
    database: Database, database_url: str, make_user: MakeUser
) -> None:
    rates = Rates(person=THREE, address=AMPLE, sign_in=THREE)
    with RedisServer() as redis:
        async with doors(database, database_url=database_url, rates=rates, redis_url=redis.url) as here:
            token = (await here.scene.signed_in(await make_user())).access.token
            assert statuses([await here.ask(token) for _ in range(4)]) == [200, 200, 200, 429]
            redis.stop()
            assert statuses([await here.ask(token) for _ in range(4)]) == [200] * 4
            tries = [await here.http.post("/auth/refresh", json={"refresh_token": "x"}) for _ in range(2)]
            assert statuses(tries) == [401, 401]
            tries = [await here.http.post("/auth/telegram", json={}) for _ in range(4)]
            assert statuses(tries) == [401, 401, 401, 429]


FORWARDED: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]], ...] = (
    ((), ("203.0.113.1", "203.0.113.2"), (401, 429)),  # nobody is believed
    (("127.0.0.1",), ("203.0.113.1", "203.0.113.2"), (401, 401)),
    (("127.0.0.0/8",), ("203.0.113.1", "203.0.113.1"), (401, 429)),
    (("10.0.0.0/8",), ("203.0.113.1", "203.0.113.2"), (401, 429)),  # not our proxy
    (("127.0.0.1",), ("198.51.100.7, 203.0.113.1", "198.51.100.8, 203.0.113.1"), (401, 429)),  # the first is a claim
    (("127.0.0.1", "10.0.0.0/8"), ("203.0.113.1, 10.0.0.9", "203.0.113.2, 10.0.0.9"), (401, 401)),
    (("127.0.0.1",), ("2001:db8::1", "2001:db8::2"), (401, 429)),  # one customer
    (("127.0.0.1",), ("2001:db8:0:1::1", "2001:db8:0:2::1"), (401, 401)),
    (("127.0.0.1",), ("x" * 900, "x" * 901), (401, 429)),
)


@pytest.mark.parametrize(("trusted", "forwarded", "expected"), FORWARDED, ids=str)
async def test_an_address_is_what_a_trusted_proxy_says_and_nobody_else(
    database: Database,
    database_url: str,
    trusted: tuple[str, ...],
    forwarded: tuple[str, ...],
    expected: tuple[int, ...],
) -> None:
    rates = Rates(person=AMPLE, address=AMPLE, sign_in=Rate(amount=1, seconds=60))
    async with doors(database, database_url=database_url, rates=rates, trusted_proxies=trusted) as here:
        tries = [
            await here.http.post("/auth/telegram", json={}, headers={"X-Forwarded-For": address})
            for address in forwarded
        ]
    assert tuple(statuses(tries)) == expected


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "nonsense"),
        ("x" * 1000, "x" * 64),
        (None, "unknown"),
    ],
)
def test_an_address_is_counted_by_what_one_customer_has(host: str | None, counted: str) -> None:
    client = None if host is None else (host, 1)
    assert address_of(Request({"type": "http", "client": client, "headers": []})) == counted


# -- pages of other origins --------------------------------------------------------------------------------------------

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


async def test_pages_of_other_origins_may_not_call_unless_they_are_named(database: Database, database_url: str) -> None:
    def allowed(answer: httpx2.Response) -> Mapping[str, str]:
        return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}

    async with doors(database, database_url=database_url) as here:
        for headers in ({"Origin": "https://app.test"}, {"Origin": "https://app.test", **PREFLIGHT}):
            assert allowed(await here.http.options("/tokens", headers=headers)) == {}
    async with doors(database, database_url=database_url, cors_origins=["https://app.test"]) as here:
        answer = await here.http.options("/tokens", headers={"Origin": "https://app.test", **PREFLIGHT})
        assert answer.headers["access-control-allow-origin"] == "https://app.test"
        assert "access-control-allow-credentials" not in answer.headers
        assert re.search(r"\bPOST\b", answer.headers["access-control-allow-methods"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        for origin in ("https://evil.test", "https://app.test.evil.test", "http://app.test", "null"):
            answer = await here.http.get("/tokens", headers={"Origin": origin})
            assert "access-control-allow-origin" not in answer.headers
