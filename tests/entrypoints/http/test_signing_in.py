"""Signing in and tokens, over HTTP, as a page or a program does it."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from bottega.access.rates import Rate, Rates
from bottega.db.transaction import Database
from tests.access.scene import AMPLE
from tests.access.vouching import init_data, widget
from tests.database import MakeUser
from tests.entrypoints.http.doors import Doors, doors

JSON = {"Content-Type": "application/json"}
ADA: dict[str, Any] = {"id": 42, "first_name": "Ada", "username": "ada"}


@pytest.fixture
async def here(database: Database, database_url: str) -> AsyncIterator[Doors]:
    async with doors(database, database_url=database_url) as made:
        yield made


def now(here: Doors) -> int:
    return int(here.scene.clock.now().timestamp())


async def post(here: Doors, path: str, body: Any, *, status: int = 200, token: str | None = None) -> Any:
    headers = JSON if token is None else {**JSON, "Authorization": f"Bearer {token}"}
    answer = await here.http.post(path, content=json.dumps(body), headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json() if answer.content else None


async def test_the_three_ways_in_lead_to_one_account(here: Doors) -> None:
    by_widget = await post(here, "/auth/telegram", widget(**ADA, auth_date=now(here)))
    by_app = await post(here, "/auth/telegram-mini-app", {"init_data": init_data(user=ADA, auth_date=now(here))})
    user_id = (await here.ask(by_widget["access_token"])).json()["user_id"]
    async with here.scene.database.transaction() as session:
        code = await here.scene.access.codes.issue_code(session, user_id=user_id)
    by_code = await post(here, "/auth/code", {"code": code})
    for told in (by_widget, by_app, by_code):
        assert (told["token_type"], told["expires_in"]) == ("Bearer", 900)
        assert told["scope"] == "credits:read credits:write keys:write projects:read projects:write"
        assert (await here.ask(told["access_token"])).json()["user_id"] == user_id


async def test_a_widgets_numbers_may_come_as_texts(here: Doors) -> None:
    """As they do where the widget leads to a page instead of calling a function."""
    said = {name: str(value) for name, value in widget(**ADA, auth_date=now(here)).items()}
    await post(here, "/auth/telegram", said)


async def test_tokens_are_refreshed_and_a_person_signs_out(here: Doors) -> None:
    first = await post(here, "/auth/telegram", widget(**ADA, auth_date=now(here)))
    second = await post(here, "/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert await post(here, "/auth/sign-out", {"refresh_token": second["refresh_token"]}, status=204) is None
    for told in (first, second):
        assert (await here.ask(told["access_token"])).status_code == 401
        refused = await post(here, "/auth/refresh", {"refresh_token": told["refresh_token"]}, status=401)
        assert refused["code"] == "invalid_refresh_token"
    await post(here, "/auth/sign-out", {"refresh_token": second["refresh_token"]}, status=204)
    await post(here, "/auth/sign-out", {"refresh_token": "nonsense", "everywhere": True}, status=204)


REFUSED: tuple[tuple[str, Any, int], ...] = (
    ("/auth/telegram", {}, 401),
    ("/auth/telegram", {"hash": "0" * 64}, 401),
    ("/auth/telegram", {**ADA, "auth_date": 1, "hash": "x"}, 401),
    ("/auth/telegram", [], 422),
    ("/auth/telegram", "x", 422),
    ("/auth/telegram", None, 422),
    ("/auth/telegram", {"id": True}, 422),
    ("/auth/telegram", {"id": 1.5}, 422),
    ("/auth/telegram", {"id": -1}, 422),
    ("/auth/telegram", {"id": 2**53}, 422),
    ("/auth/telegram", {"id": None}, 422),
    ("/auth/telegram", {"id": {"id": 1}}, 422),
    ("/auth/telegram", {"id": "x" * 3000}, 422),
    ("/auth/telegram", {"k" * 65: "x"}, 422),
    ("/auth/telegram", {f"k{n}": "x" for n in range(31)}, 422),
    ("/auth/telegram-mini-app", {}, 422),
    ("/auth/telegram-mini-app", {"init_data": ""}, 422),
    ("/auth/telegram-mini-app", {"init_data": 5}, 422),
    ("/auth/telegram-mini-app", {"init_data": "x" * 9000}, 422),
    ("/auth/telegram-mini-app", {"init_data": "x"}, 401),
    ("/auth/telegram-mini-app", {"init_data": "a=\x00&hash=b"}, 401),
    ("/auth/telegram-mini-app", {"init_data": "a=1&hash=b", "more": 1}, 422),
    ("/auth/code", {"code": ""}, 422),
    ("/auth/code", {"code": 42}, 422),
    ("/auth/code", {"code": "x" * 41}, 422),
    ("/auth/code", {"code": "1-ABCDEFGH"}, 401),
    ("/auth/refresh", {}, 422),
    ("/auth/refresh", {"refresh_token": None}, 422),
    ("/auth/refresh", {"refresh_token": "x" * 201}, 422),
    ("/auth/refresh", {"refresh_token": "x"}, 401),
    ("/auth/sign-out", {"refresh_token": "x", "everywhere": "yes"}, 422),
)


@pytest.mark.parametrize(("path", "body", "status"), REFUSED, ids=lambda part: str(part)[:40])
async def test_what_cannot_be_believed_or_meant_is_refused_and_changes_nothing(
    here: Doors, path: str, body: Any, status: int
) -> None:
    told = await post(here, path, body, status=status)
    assert told["detail"]
    assert await here.scene.count("SELECT count(*) FROM users") == 0
    assert await here.scene.count("SELECT count(*) FROM sign_ins") == 0


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"code": "\xff"}', b"[" * 5000, b'{"code": NaN}'], ids=repr)
async def test_bytes_that_are_no_json_are_refused(here: Doors, body: bytes) -> None:
    answer = await here.http.post("/auth/code", content=body, headers=JSON)
    assert answer.status_code in {400, 422}
    assert "Traceback" not in answer.text


async def test_a_body_that_is_huge_is_refused(here: Doors) -> None:
    answer = await here.http.post("/auth/code", content=b" " * 3_000_000, headers=JSON)
    assert answer.status_code == 413


async def test_nothing_that_was_sent_is_repeated(here: Doors) -> None:
    with capture_logs() as logged:
        for body in ({"refresh_token": ["bort_secret"]}, {"refresh_token": "bort_secret", "x": "bort_secret"}):
            answer = await here.http.post("/auth/refresh", json=body)
            assert answer.status_code == 422
            assert "bort_secret" not in answer.text
    assert "bort_secret" not in str(logged)


# -- personal tokens ---------------------------------------------------------------------------------------------------


async def test_a_token_is_made_shown_once_listed_and_ended(here: Doors, make_user: MakeUser) -> None:
    signed_in = (await here.scene.signed_in(await make_user())).access.token
    made = await post(here, "/tokens", {"name": "ci", "scopes": ["projects:read"]}, status=201, token=signed_in)
    assert re.fullmatch("bott_[0-9A-Za-z]{49}", made.pop("token"))
    listed = await here.ask(signed_in, "/tokens")
    assert listed.json() == {"items": [made]}
    assert (made["name"], made["scopes"], made["is_expired"]) == ("ci", ["projects:read"], False)
    for expected in (204, 404):
        gone = await here.http.delete(f"/tokens/{made['id']}", headers={"Authorization": f"Bearer {signed_in}"})
        assert gone.status_code == expected
    assert (await here.ask(signed_in, "/tokens")).json() == {"items": []}


async def test_a_token_makes_none_that_may_more(here: Doors, make_user: MakeUser) -> None:
    signed_in = (await here.scene.signed_in(await make_user())).access.token
    wanted = {"name": "ci", "scopes": ["projects:read", "keys:write"], "days": 3}
    narrow = (await post(here, "/tokens", wanted, status=201, token=signed_in))["token"]
    await post(here, "/tokens", {**wanted, "scopes": ["projects:read"]}, status=201, token=narrow)
    for scopes in (["projects:write"], ["admin"], ["projects:read", "credits:read"]):
        told = await post(here, "/tokens", {**wanted, "scopes": scopes}, status=403, token=narrow)
        assert told["code"] == "scope_not_yours"
    reader = (await post(here, "/tokens", {**wanted, "scopes": ["projects:read"]}, status=201, token=narrow))["token"]
    told = await post(here, "/tokens", wanted, status=403, token=reader)
    assert told["code"] == "missing_scope"
    assert (await here.ask(reader, "/tokens")).status_code == 403


async def test_nobody_sees_or_ends_anothers_tokens(here: Doors, make_user: MakeUser) -> None:
    mine, other = [(await here.scene.signed_in(await make_user())).access.token for _ in range(2)]
    made = await post(here, "/tokens", {"name": "ci", "scopes": ["projects:read"]}, status=201, token=mine)
    assert (await here.ask(other, "/tokens")).json() == {"items": []}
    refused = await here.http.delete(f"/tokens/{made['id']}", headers={"Authorization": f"Bearer {other}"})
    assert refused.status_code == 404
    assert (await here.ask(made["token"])).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "x"}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["all"]}, {"name": 5, "scopes": ["admin"]},
     {"name": "", "scopes": ["projects:read"]}, {"name": "x" * 101, "scopes": ["projects:read"]},
     {"name": "a\nb", "scopes": ["projects:read"]}, {"name": "\x00", "scopes": ["projects:read"]},
     {"name": "\ud800", "scopes": ["projects:read"]},
     {"name": "x", "scopes": ["projects:read"], "days": 0}, {"name": "x", "scopes": ["projects:read"], "days": 1e3},
     {"name": "x", "scopes": ["projects:read"], "days": 10**40}, {"name": "x", "scopes": ["projects:read"] * 9},
     {"name": "x", "scopes": ["projects:read"], "user_id": 1}],
    ids=lambda body: str(body)[:60].encode("ascii", "backslashreplace").decode(),
)  # fmt: skip
async def test_a_token_that_cannot_be_meant_is_not_made(here: Doors, make_user: MakeUser, body: Any) -> None:
    signed_in = (await here.scene.signed_in(await make_user())).access.token
    await post(here, "/tokens", body, status=422, token=signed_in)
    assert await here.scene.count("SELECT count(*) FROM personal_tokens") == 0


# -- how often ---------------------------------------------------------------------------------------------------------


async def test_who_tries_to_sign_in_too_often_waits(database: Database, database_url: str) -> None:
    rates = Rates(person=AMPLE, address=AMPLE, sign_in=Rate(amount=3, seconds=60))
    async with doors(database, database_url=database_url, rates=rates) as here:
        tries = [await here.http.post("/auth/code", json={"code": "nonsense"}) for _ in range(4)]
        assert [answer.status_code for answer in tries] == [401, 401, 401, 429]
        other_way = await here.http.post("/auth/telegram", json={})
        assert other_way.status_code == 429
        assert other_way.json()["code"] == "too_many_requests"
        assert 1 <= int(other_way.headers["retry-after"]) <= 120
        assert other_way.headers["ratelimit-policy"] == '"sign-in";q=3;w=60'
        assert re.fullmatch(r'"sign-in";r=0;t=\d+', other_way.headers["ratelimit"])
        refreshed = await here.http.post("/auth/refresh", json={"refresh_token": "x"})
        assert refreshed.status_code == 401, "those who are signed in stay so"


async def test_five_wrong_codes_are_429_with_how_long_to_wait(here: Doors) -> None:
    tries = [await here.http.post("/auth/code", json={"code": "nonsense"}) for _ in range(6)]
    assert [answer.status_code for answer in tries] == [401] * 5 + [429]
    assert tries[-1].json()["code"] == "too_many_tries"
    assert 200 < int(tries[-1].headers["retry-after"]) <= 300
