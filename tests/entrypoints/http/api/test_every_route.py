"""What holds for every route of the API. A new route without its line here fails the first test."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx2
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import text
from starlette.routing import Route

from bottega.access import opaque
from bottega.access.types import Role, Scope
from bottega.entrypoints.http.api.openapi import documented
from bottega.entrypoints.http.problems import MEDIA_TYPE
from tests.access.forging import forgeries
from tests.entrypoints.http.api.conftest import Installation, Person

SOMEBODY = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that is understood. `scope` None: the route is for people without a token."""

    scope: Scope | None
    body: object = None
    query: Mapping[str, str] = field(default_factory=dict)


READ, WRITE, ADMIN = Call(scope=Scope.PROJECTS_READ), Call(scope=Scope.PROJECTS_WRITE), Call(scope=Scope.ADMIN)
CREDITS, KEYS = Call(scope=Scope.CREDITS_READ), Call(scope=Scope.KEYS_WRITE)
KEY = {"provider": "openrouter", "key": "sk-or-v1-0123456789abcdef0123456789abcdef"}


def writing(body: object) -> Call:
    return Call(scope=Scope.PROJECTS_WRITE, body=body)


def open_to_all(body: object = None) -> Call:
    return Call(scope=None, body=body)


CALLS: Mapping[str, Call] = {
    "run_loop": writing({"project_id": SOMEBODY}),
    "create_project": writing({"brief": "A tool that counts words."}),
    "list_projects": READ,
    "read_project": READ,
    "delete_project": WRITE,
    "send_message": writing({"text": "Use tabs"}),
    "pause_project": WRITE,
    "resume_project": writing({}),
    "cancel_project": WRITE,
    "refine_file": writing({"path": "a.py", "instruction": "Shorter"}),
    "limit_project": Call(scope=Scope.PROJECTS_WRITE, body={"credits": "5"}),
    "list_questions": READ,
    "answer_questions": writing({"answers": [{"question_id": SOMEBODY, "text": "Yes"}]}),
    "approve_plan": WRITE,
    "change_plan": writing({"wish": "Less"}),
    "edit_plan": writing({"revision": "0", "tasks": [{"key": "T1"}]}),
    "list_tasks": READ,
    "read_task": READ,
    "read_task_diff": READ,
    "list_commits": READ,
    "list_files": READ,
    "read_file": Call(scope=Scope.PROJECTS_READ, query={"path": "a.py"}),
    "search_code": Call(scope=Scope.PROJECTS_READ, query={"q": "count"}),
    "follow_events": READ,
    "download_archive": READ,
    "make_download_link": Call(scope=Scope.PROJECTS_READ, body={}),
    "read_receipt": READ,
    "read_usage": READ,
    "follow_download_link": open_to_all(),
    "read_credits": CREDITS,
    "list_transactions": CREDITS,
    "list_packages": CREDITS,
    "list_orders": CREDITS,
    "create_checkout": Call(scope=Scope.CREDITS_WRITE, body={"package": "buy_100"}),
    "list_keys": KEYS,
    "add_key": Call(scope=Scope.KEYS_WRITE, body=KEY),
    "remove_key": KEYS,
    "list_tokens": KEYS,
    "create_token": Call(scope=Scope.KEYS_WRITE, body={"name": "x", "scopes": ["projects:read"]}),
    "revoke_token": KEYS,
    "list_users": ADMIN,
    "read_user": ADMIN,
    "change_user": Call(scope=Scope.ADMIN, body={"status": "active", "reason": "A test"}),
    "grant_credits": Call(scope=Scope.ADMIN, body={"credits": "1", "reason": "A test"}),
    "list_platform_keys": ADMIN,
    "add_platform_key": Call(scope=Scope.ADMIN, body=KEY),
    "remove_platform_key": ADMIN,
    "report_usage": ADMIN,
    "list_runs_in_need": ADMIN,
    "read_audit_log": ADMIN,
    "list_prices": ADMIN,
    "set_price": Call(scope=Scope.ADMIN, body={"model": "openrouter/x", "rates": {"input": "1", "output": "2"}}),
    "sign_in_with_telegram": open_to_all({"id": 1, "hash": "x"}),
    "sign_in_with_mini_app": open_to_all({"init_data": "x"}),
    "sign_in_with_code": open_to_all({"code": "42-K7QM2XWP"}),
    "refresh_sign_in": open_to_all({"refresh_token": "x"}),
    "sign_out": open_to_all({"refresh_token": "x"}),
}
PARTS = {"task_key": "T1", "fingerprint": "0" * 12, "user_id": "1", "token_id": SOMEBODY, "token": "1.eA.x"}


def named(route: APIRoute) -> str:
    return route.operation_id or route.name


async def asked(
    http: httpx2.AsyncClient, route: APIRoute, *, project_id: str = SOMEBODY, **given: Any
) -> httpx2.Response:
    call = CALLS[named(route)]
    path = route.path_format.format(project_id=project_id, **PARTS)
    body = call.body
    if isinstance(body, dict) and "project_id" in body:
        body = {**body, "project_id": project_id}
    given = {"params": dict(call.query), **given}
    if body is not None and not given.keys() & {"json", "content"}:
        given["json"] = body
    method = next(iter(route.methods or ()))
    return await http.request(method, path, **given)


def told_of(answer: httpx2.Response) -> Mapping[str, Any]:
    assert answer.headers["content-type"] == MEDIA_TYPE, answer.text
    problem: Mapping[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"] == f"urn:bottega:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    return problem


def test_every_route_has_its_line(here: Installation) -> None:
    names = [named(route) for route in documented(here.served)]
    assert sorted(names) == sorted(CALLS), "a route is missing here, or is no more"


def test_what_is_no_part_of_the_description_is_known(here: Installation) -> None:
    """A route that has no tag would be in no table here."""
    described = documented(here.served)
    routes = (context.original_route for context in iter_route_contexts(here.served.routes))
    others = {route.path for route in routes if isinstance(route, Route) and route not in described}
    assert others == {
        *("/", "/healthz", "/readyz", "/openapi.json"),
        *("/webhooks/{gateway}", "/checkout/success", "/checkout/cancel", "/dev/checkout/{order_id}"),
        *("/v1/models", "/v1/chat/completions"),
    }


def wanted_scopes(route: APIRoute) -> set[Scope]:
    """Return the scopes that a route itself wants of whoever asks."""
    return {Scope(scope) for each in route.dependant.dependencies for scope in each.own_oauth_scopes or ()}


def test_every_route_wants_what_its_line_says(here: Installation) -> None:
    for route in documented(here.served):
        scope = CALLS[named(route)].scope
        assert wanted_scopes(route) == (set() if scope is None else {scope}), named(route)


def guarded(here: Installation) -> list[APIRoute]:
    return [route for route in documented(here.served) if CALLS[named(route)].scope is not None]


async def ended_tokens(here: Installation, user_id: int) -> Mapping[str, str]:
    """Return tokens that did count: revoked, expired, signed out, of somebody who is suspended."""
    revoked, expired = [await here.token(user_id) for _ in range(2)]
    out = await here.signed_in(user_id)
    await here.access.sign_ins.sign_out(out.refresh_token, everywhere=False)
    gone = await here.app.local_user("gone")
    suspended, suspended_session = await here.token(gone), await here.signed_in(gone)
    async with here.app.database.transaction() as session:
        for values, token in (("revoked_at = now()", revoked), ("expires_at = now()", expired)):
            ended = text(f"UPDATE personal_tokens SET {values} WHERE token_sha256 = :sha256")  # noqa: S608  # our words
            await session.execute(ended, {"sha256": opaque.sha256(token)})
        await session.execute(text("UPDATE users SET status = 'suspended' WHERE username = 'gone'"))
    return {
        "revoked": revoked,
        "expired and personal": expired,
        "signed out": out.access.token,
        "of somebody suspended": suspended,
        "of a sign-in of somebody suspended": suspended_session.access.token,
    }


EVERYWHERE = (
    *("expired", "signature altered", "payload altered", "of a key that is none", "none, unsigned"),
    *("for another audience", "revoked"),
)
"""What each route is shown. The rest takes turns, and is tried one by one in `tests/access/test_signing.py`."""
IN_TURN = 1


async def test_no_route_believes_a_token_that_does_not_count(here: Installation, ada: Person) -> None:
    good = (await here.signed_in(ada.id)).access
    anybody = await here.client()
    tokens = {**forgeries(here.keys, good), **await ended_tokens(here, ada.id)}
    wrong = {name: f"Bearer {token}" for name, token in tokens.items()}
    wrong |= {"of no kind": good.token, "Basic": f"Basic {good.token}", "empty": "Bearer"}
    turns = cycle(sorted(wrong.keys() - set(EVERYWHERE)))
    for route in guarded(here):
        believed = await asked(anybody, route, headers={"Authorization": f"Bearer {good.token}"})
        assert believed.status_code != 401, (named(route), believed.text)
        for name in ("no token", *EVERYWHERE, *(next(turns) for _ in range(IN_TURN))):
            answer = await asked(anybody, route, headers={"Authorization": wrong[name]} if name in wrong else {})
            assert answer.status_code == 401, (named(route), name, answer.text)
            assert answer.headers["www-authenticate"].startswith("Bearer"), (named(route), name)
            told_of(answer)


async def test_a_token_counts_in_its_header_alone(here: Installation, ada: Person) -> None:
    token = (await here.signed_in(ada.id)).access.token
    anybody = await here.client()
    for given in ({"params": {"access_token": token}}, {"headers": {"Cookie": f"access_token={token}"}}):
        assert (await anybody.get("/v1/credits", **given)).status_code == 401  # type: ignore[arg-type]


async def test_every_scope_a_route_wants_is_missed_alone(here: Installation) -> None:
    """A token with every scope but the one is refused; one with nothing else is not."""
    for scope in Scope:
        without = await here.person("root", scopes=set(Scope) - {scope}, role=Role.ADMIN)
        alone = await here.person("root", scopes={scope}, role=Role.ADMIN)
        routes = [route for route in guarded(here) if scope in wanted_scopes(route)]
        assert routes, scope
        for route in routes:
            answer = await asked(without.http, route)
            assert answer.status_code == 403, (named(route), scope, answer.text)
            assert told_of(answer)["code"] == "missing_scope"
            assert f'scope="{scope}"' in answer.headers["www-authenticate"]
            allowed = await asked(alone.http, route)
            assert allowed.status_code != 401, named(route)
            assert "missing_scope" not in allowed.text, (named(route), scope)


async def test_somebody_who_is_no_admin_any_more_is_refused_whatever_their_token_says(here: Installation) -> None:
    """The scope is in both tokens; the role that it wants is not there."""
    boss = await here.person("boss", role=Role.ADMIN)
    session = await here.client((await here.signed_in(boss.id)).access.token)
    for person in (boss.http, session):
        assert (await person.get("/v1/admin/users")).status_code == 200
    await here.lower(boss.id)
    for route in documented(here.served):
        if Scope.ADMIN in wanted_scopes(route):
            for person in (boss.http, session):
                answer = await asked(person, route)
                assert answer.status_code == 403, (named(route), answer.text)
                assert told_of(answer)["code"] == "missing_scope"


async def test_what_is_another_persons_does_not_exist(here: Installation, ada: Person, bob: Person) -> None:
    project_id = str(await ada.begin())
    before = await ada.get(f"/v1/projects/{project_id}")
    for route in documented(here.served):
        body = CALLS[named(route)].body
        if "{project_id}" not in route.path_format and not (isinstance(body, dict) and "project_id" in body):
            continue
        theirs = await asked(bob.http, route, project_id=project_id)
        none = await asked(bob.http, route, project_id=str(uuid.UUID(int=7)))
        assert (theirs.status_code, none.status_code) == (404, 404), (named(route), theirs.text, none.text)
        assert told_of(theirs)["code"] == told_of(none)["code"]
    assert await ada.get(f"/v1/projects/{project_id}") == before


async def test_keys_tokens_and_orders_are_each_persons_own(ada: Person, bob: Person) -> None:
    kept = await ada.post("/v1/keys", KEY, status=201)
    assert "0123456789abcdef" not in json.dumps(kept)
    await ada.post("/v1/credits/checkouts", {"package": "buy_100"}, status=201)
    assert (await bob.get("/v1/keys"))["items"] == (await bob.get("/v1/credits/orders"))["items"] == []
    await bob.ask("DELETE", f"/v1/keys/{kept['fingerprint']}", status=404)
    token = await ada.post("/tokens", {"name": "mine", "scopes": ["projects:read"]}, status=201)
    await bob.ask("DELETE", f"/tokens/{token['id']}", status=404)
    assert token["id"] not in json.dumps(await bob.get("/tokens"))
    assert token["id"] in json.dumps(await ada.get("/tokens"))
    assert len((await ada.get("/v1/keys"))["items"]) == len((await ada.get("/v1/credits/orders"))["items"]) == 1


async def test_every_error_a_route_gives_is_declared(here: Installation) -> None:
    """The description says 401, 403 and 429 of every route with a token, and a problem's shape of every error."""
    http = await here.client()
    told = (await http.get("/openapi.json")).json()
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            said = operation["responses"]
            assert operation["operationId"], path
            assert operation["tags"], path
            assert operation["summary"], path
            assert operation["description"], path
            if "security" in operation:
                assert {"401", "403", "429"} <= said.keys(), (method, path)
            if "requestBody" in operation:
                assert {"400", "413", "415"} <= said.keys(), (method, path)
            for status, answer in said.items():
                if int(status) >= 400:
                    assert list(answer["content"]) == [MEDIA_TYPE], (method, path, status)
