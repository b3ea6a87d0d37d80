"""What holds for every route of the API. A new route without its line here fails the first test."""

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx2
from fastapi.routing import APIRoute

from bottega.access.types import Role, Scope
from bottega.entrypoints.http.api.openapi import documented
from bottega.entrypoints.http.problems import MEDIA_TYPE
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
    if body is not None:
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


def forged(user_id: int) -> str:
    """Return an access token that says it needs no signature."""

    def part(value: Mapping[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"sub": str(user_id), "exp": 4_102_444_800, "iat": 0, "nbf": 0, "jti": "1", "scope": "admin projects:read"}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


async def test_without_a_token_that_counts_nothing_is_told(here: Installation, ada: Person) -> None:
    good = str(ada.http.headers["authorization"])
    bad = cycle((f"{good}x", f"Bearer {forged(ada.id)}", "Bearer", "Basic YTpi", "Bearer a.b.c"))
    http = await here.client()
    for route in documented(here.served):
        if CALLS[named(route)].scope is None:
            continue
        for headers in ({}, {"Authorization": next(bad)}):
            answer = await asked(http, route, headers=headers)
            assert answer.status_code == 401, (named(route), headers, answer.text)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            told_of(answer)


async def test_a_token_without_the_scope_is_refused(here: Installation) -> None:
    for scope in Scope:
        person = await here.person("root", scopes=set(Scope) - {scope}, role=Role.ADMIN)
        for route in documented(here.served):
            if CALLS[named(route)].scope is scope:
                answer = await asked(person.http, route)
                assert answer.status_code == 403, (named(route), answer.text)
                assert told_of(answer)["code"] == "missing_scope"


async def test_somebody_who_is_no_admin_is_refused_whatever_their_token_says(here: Installation, ada: Person) -> None:
    for route in documented(here.served):
        if CALLS[named(route)].scope is Scope.ADMIN:
            assert (await asked(ada.http, route)).status_code == 403, named(route)


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
