"""How requests are read: what is no JSON, too large, of another kind, or asked for twice."""

import asyncio
import json
import uuid
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from bottega.entrypoints.http.api.route import BODY_LIMIT_BYTES
from bottega.entrypoints.http.problems import MEDIA_TYPE
from tests.entrypoints.http.api.conftest import JSON, Installation, Person
from tests.journeys import scripts

BRIEF = {"brief": scripts.BRIEF}


def told(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == MEDIA_TYPE
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (b"{", JSON, (400, "malformed_body")),
        (b"\xff\xfe{}", JSON, (400, "malformed_body")),
        (b'{"brief": "\xc3\x28"}', JSON, (400, "malformed_body")),
        (b"[" * 50_000, JSON, (400, "malformed_body")),
        (b"1" * 5000, JSON, (400, "malformed_body")),
        (b"", JSON, (422, "invalid_request")),
        (b"null", JSON, (422, "invalid_request")),
        (b"[]", JSON, (422, "invalid_request")),
        (b'{"brief": 7}', JSON, (422, "invalid_request")),
        (b'{"brief": null}', JSON, (422, "invalid_request")),
        (b'{"brief": "a", "user_id": 1}', JSON, (422, "invalid_request")),
        (b'{"brief": "  "}', JSON, (422, "empty_brief")),
        (b'{"brief": "\\u0000"}', JSON, (422, "empty_brief")),
        (json.dumps({"brief": "é" * 30_000}).encode(), JSON, (413, "brief_too_long")),
        (b'{"brief": "' + b"x" * BODY_LIMIT_BYTES + b'"}', JSON, (413, "body_too_large")),
        (b'{"brief": "x"}', {"Content-Type": "text/plain"}, (415, "unsupported_media_type")),
        (b'{"brief": "x"}', {}, (415, "unsupported_media_type")),
        (b"brief=x", {"Content-Type": "application/x-www-form-urlencoded"}, (415, "unsupported_media_type")),
    ],
)
async def test_what_cannot_be_read_or_meant_is_said_and_nothing_is_done(
    ada: Person, content: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = await ada.http.post("/v1/projects", content=content, headers=headers)
    assert told(answer) == expected
    assert (await ada.get("/v1/projects"))["items"] == []


async def test_half_a_character_is_no_text(ada: Person) -> None:
    for path, body in (
        ("/v1/projects", b'{"brief": "a \\ud800 tool"}'),
        ("/v1/credits/checkouts", b'{"package": "\\ud800"}'),
        ("/v1/credits/checkouts", b'{"\\ud800": 1}'),
    ):
        assert told(await ada.http.post(path, content=body, headers=JSON)) == (422, "invalid_request")
    assert (await ada.get("/v1/projects"))["items"] == []


async def test_a_fault_says_where_and_repeats_nothing(ada: Person) -> None:
    answer = await ada.http.post("/v1/keys", json={"provider": "openrouter", "key": ["sk-or-secret-of-mine"]})
    assert told(answer) == (422, "invalid_request")
    assert answer.json()["errors"][0]["where"] == "body.key"
    assert "secret-of-mine" not in answer.text


async def test_what_is_nowhere_or_taken_otherwise_is_a_problem_too(ada: Person) -> None:
    assert told(await ada.http.get("/v1/nowhere")) == (404, "not_found")
    assert told(await ada.http.get("/v1/projects/")) == (404, "not_found")
    answer = await ada.http.patch("/v1/projects")
    assert (told(answer), answer.headers["allow"]) == ((405, "method_not_allowed"), "GET, POST")
    assert told(await ada.http.get("/v1/projects/not-an-id")) == (422, "invalid_request")
    assert told(await ada.http.get("/v1/projects", params={"limit": "0"})) == (422, "invalid_request")
    assert told(await ada.http.get("/v1/projects", params={"limit": "101"})) == (422, "invalid_request")
    assert told(await ada.http.get("/v1/projects", params={"limit": "1e9"})) == (422, "invalid_request")


async def test_one_id_is_in_the_answer_its_problem_and_the_log(ada: Person) -> None:
    with capture_logs() as logged:
        answer = await ada.http.get("/v1/projects/not-an-id", headers={"X-Request-Id": "of the client"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] != "of the client"
    assert [line["event"] for line in logged if line["event"] == "http.request"] == ["http.request"]


async def test_a_header_that_would_be_two_never_leaves(ada: Person) -> None:
    for value in ("a\r\nSet-Cookie: x=y", "a\nb", "\0"):
        with pytest.raises(httpx2.LocalProtocolError):
            await ada.http.post("/v1/projects", json=BRIEF, headers={"Idempotency-Key": value})
    answer = await ada.http.post("/v1/projects", json=BRIEF, headers={"Prefer": "wait=1", "Idempotency-Key": "k%0d%0a"})
    assert "set-cookie" not in answer.headers


async def test_twenty_at_once_with_one_key_begin_one_project(ada: Person) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = await asyncio.gather(*(ada.http.post("/v1/projects", json=BRIEF, headers=key) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await ada.get("/v1/projects"))["items"]) == 1


async def test_a_key_that_comes_back_with_something_else_is_refused(ada: Person, bob: Person) -> None:
    key = {"Idempotency-Key": "mine"}
    first = await ada.post("/v1/projects", BRIEF, status=201, headers=key)
    answer = await ada.http.post("/v1/projects", json={"brief": "Another tool"}, headers=key)
    assert told(answer) == (422, "idempotency_key_reused")
    answer = await ada.http.post(f"/v1/projects/{first['id']}/pause", headers=key)
    assert told(answer) == (422, "idempotency_key_reused")
    assert (await ada.get(f"/v1/projects/{first['id']}"))["state"] == "ready"
    assert (await bob.post("/v1/projects", BRIEF, status=201, headers=key))["id"] != first["id"]
    for nonsense in ("", "x" * 191, "é"):
        headers = {b"Idempotency-Key": nonsense.encode()}
        assert (await ada.http.post("/v1/projects", json=BRIEF, headers=headers)).status_code == 422


async def test_what_was_refused_may_be_asked_for_again_under_its_key(ada: Person) -> None:
    key = {"Idempotency-Key": "again"}
    assert (await ada.http.post("/v1/projects", json={"brief": " "}, headers=key)).status_code == 422
    await ada.post("/v1/projects", BRIEF, status=201, headers=key)


async def test_money_and_keys_are_moved_once_too(here: Installation, ada: Person, admin: Person) -> None:
    async def twenty(path: str, body: object, *, by: Person) -> list[Any]:
        key = {"Idempotency-Key": f"of {path}"}
        answers = await asyncio.gather(*(by.http.post(path, json=body, headers=key) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
        return [answer.json() for answer in answers]

    granted = await twenty(f"/v1/admin/users/{ada.id}/grants", {"credits": "5", "reason": "A test"}, by=admin)
    assert sum(not one["repeated"] for one in granted) == 1
    assert Decimal((await ada.get("/v1/credits"))["available"]) == 1005
    orders = await twenty("/v1/credits/checkouts", {"package": "buy_100"}, by=ada)
    assert len({one["order_id"] for one in orders}) == 1
    key = {"Idempotency-Key": "of /v1/credits/checkouts"}
    answer = await ada.http.post("/v1/credits/checkouts", json={"package": "buy_500"}, headers=key)
    assert told(answer) == (422, "idempotency_key_reused")
    new = {"provider": "openrouter", "key": "sk-or-v1-0123456789abcdef0123456789abcdef"}
    kept = await twenty("/v1/keys", new, by=ada)
    assert len({one["id"] for one in kept}) == 1
    assert told(await ada.http.post("/v1/keys", json=new)) == (409, "key_kept")
    price = {"model": "openrouter/x", "rates": {"input": "1", "output": "2"}}
    await twenty("/v1/admin/prices", price, by=admin)
    async with here.app.database.reading() as session:
        rows = text("SELECT count(*) FROM model_pricing WHERE model_name = 'x'")
        assert (await session.scalar(rows)) == 1
        assert (await session.scalar(text("SELECT count(*) FROM audit_log WHERE action = 'price.set'"))) == 1
        assert (await session.scalar(text("SELECT count(*) FROM audit_log WHERE action = 'credits.granted'"))) == 1
