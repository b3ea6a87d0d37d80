"""What nobody should send: refused as declared, by every route, and the database is as it was."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pygit2
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text

from bottega.entrypoints.http.api.openapi import documented
from bottega.entrypoints.http.api.route import BODY_LIMIT_BYTES
from bottega.entrypoints.http.docs import described
from tests.entrypoints.http.api.conftest import JSON, Installation, Person
from tests.entrypoints.http.api.rows import changed, kept
from tests.entrypoints.http.api.test_every_route import CALLS, asked, named, told_of

DESCRIBED = described()
OPERATIONS = {one["operationId"]: one for all_of in DESCRIBED["paths"].values() for one in all_of.values()}
HUGE = "x" * (BODY_LIMIT_BYTES + 1)
OTHERS: Mapping[str, object] = {"number": 7, "truth": True, "list": [[]], "object": {"a": {}}, "nothing": None}

ALLOWED = {("credits", "number"), ("credits", "nothing"), ("status", "nothing")}
"""An amount may come as a number, a limit of nothing is none, and a status that is not said stays."""


def bodies(good: object) -> Iterator[tuple[str, bytes, set[int]]]:
    """Yield bodies that are none, made from a good one, and how they may be answered."""
    sent = json.dumps(good)
    yield "cut off", sent[:-1].encode(), {400}
    yield "two at once", (sent + sent).encode(), {400}
    yield "nested deeply", b'{"a":' + b"[" * 100_000, {400}
    yield "nested deeply, whole", b"[" * 100_000 + b"]" * 100_000, {400}
    yield "not UTF-8", sent.encode() + b"\xff", {400}
    yield "UTF-16", sent.encode("utf-16"), {400}
    yield "NaN", b'{"a": NaN}', {400}
    yield "Infinity", b'{"a": [-Infinity]}', {400}
    yield "a name twice", b'{"a": 1, "a": 2}', {400}
    yield "a name twice, within", b'{"b": [{"a": 1, "a": 1}]}', {400}
    yield "huge", json.dumps({"a": HUGE}).encode(), {413}
    yield "half a character", b'{"\\ud800": "\\udfff"}', {400, 422}
    yield "a list", b"[]", {400, 422}
    yield "a text", b'"x"', {400, 422}
    yield "nothing of it", b"null", {400, 422}
    yield "a number beyond all", b'{"a": ' + b"9" * 10_000 + b"}", {400}


def with_bodies(here: Installation) -> list[APIRoute]:
    return [route for route in documented(here.served) if "requestBody" in OPERATIONS[named(route)]]


async def test_a_body_that_is_none_is_refused_by_every_route(here: Installation, admin: Person) -> None:
    project_id = str(await admin.begin())
    before = await kept(here.app.database)
    for route in with_bodies(here):
        for name, content, statuses in bodies(CALLS[named(route)].body):
            answer = await asked(admin.http, route, project_id=project_id, content=content, headers=JSON)
            assert answer.status_code in statuses, (named(route), name, answer.text)
            assert str(answer.status_code) in OPERATIONS[named(route)]["responses"], (named(route), name)
            told_of(answer)
    assert changed(before, await kept(here.app.database)) == set()


async def test_a_value_of_another_kind_is_refused_by_every_route(here: Installation, admin: Person) -> None:
    """Each field of each body, one at a time; what says nothing of a field may have it."""
    project_id = str(await admin.begin())
    before = await kept(here.app.database)
    for route in with_bodies(here):
        good = CALLS[named(route)].body
        if route.path.startswith("/auth/telegram"):
            continue  # no field of theirs is ours: Telegram's signature is over whatever came
        assert isinstance(good, dict)
        for field in good:
            for name, value in OTHERS.items():
                if (field, name) in ALLOWED:
                    continue
                body = {**good, "project_id": project_id} if "project_id" in good else dict(good)
                answer = await asked(admin.http, route, project_id=project_id, json={**body, field: value})
                assert answer.status_code in {400, 422}, (named(route), field, name, answer.text)
                told_of(answer)
    assert changed(before, await kept(here.app.database)) == set()


async def test_no_request_may_name_an_address(here: Installation, admin: Person) -> None:
    """There is no field for one, so none can be made to lead inside; and a field that nobody named is refused."""
    project_id = str(await admin.begin())
    inside = "http://169.254.169.254/latest/meta-data/"
    for name, operation in OPERATIONS.items():
        fields = {parameter["name"] for parameter in operation.get("parameters", ())} | set(_fields(operation))
        assert [each for each in fields if "url" in each.lower() or "uri" in each.lower()] == [], name
    before = await kept(here.app.database)
    for route in with_bodies(here):
        good = CALLS[named(route)].body
        if route.path.startswith("/auth/telegram") or not isinstance(good, dict):
            continue
        for field in ("base_url", "success_url", "callback_url", "webhook"):
            answer = await asked(admin.http, route, project_id=project_id, json={**good, field: inside})
            assert answer.status_code in {400, 422}, (named(route), field, answer.text)
    key = {"provider": inside, "key": "sk-or-v1-0123456789abcdef0123456789abcdef"}
    for path in ("/v1/keys", "/v1/admin/keys"):
        await admin.post(path, key, status=422)
    await admin.post("/v1/credits/checkouts", {"package": "buy_100", "gateway": inside}, status=404)
    assert changed(before, await kept(here.app.database)) == set()


def _fields(operation: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of what may be sent, however deep."""
    waiting = [content["schema"] for content in operation.get("requestBody", {}).get("content", {}).values()]
    while waiting:
        schema = waiting.pop()
        if "$ref" in schema:
            schema = DESCRIBED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        yield from schema.get("properties", ())
        waiting += [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
        waiting += [schema["items"]] if "items" in schema else []


async def test_links_are_ours_whatever_a_request_calls_us(here: Installation, ada: Person) -> None:
    project_id = await here.planned(ada)
    async with here.app.database.transaction() as session:
        await session.execute(text("UPDATE projects SET archive_key = 'x/y.zip'"))
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    link = await ada.post(f"/v1/projects/{project_id}/download-links", {}, headers=headers)
    order = await ada.post("/v1/credits/checkouts", {"package": "buy_100"}, status=201, headers=headers)
    ours = urlsplit(here.app.settings.http.public_url).netloc
    assert {urlsplit(one["url"]).netloc for one in (link, order)} == {ours}


@pytest.mark.parametrize(
    "said",
    ["a\\u0000b", "\\u0000", "a\\r\\nSet-Cookie: a=b", "\\u202e\\u0007", "a\\ud83d\\ude00b"],
    ids=["a NUL", "NULs alone", "two lines", "turned around", "two halves that fit"],
)
async def test_odd_texts_are_taken_without_what_cannot_be_kept_or_refused(ada: Person, said: str) -> None:
    """They are never an error of ours, and come back as JSON that everybody reads."""
    at = f"/v1/projects/{await ada.begin()}"
    for path, body in (
        ("/v1/projects", f'{{"brief": "{said}"}}'),
        (f"{at}/messages", f'{{"text": "{said}"}}'),
        (f"{at}/resume", f'{{"remark": "{said}"}}'),
        (f"{at}/refinements", f'{{"path": "{said}", "instruction": "x"}}'),
        ("/tokens", f'{{"name": "{said}", "scopes": ["projects:read"]}}'),
        ("/v1/keys", f'{{"provider": "openrouter", "key": "sk-or-v1-{"0" * 32}", "label": "{said}"}}'),
        ("/v1/credits/checkouts", f'{{"package": "{said}"}}'),
    ):
        answer = await ada.http.post(path, content=body, headers=JSON)
        assert answer.status_code in {200, 201, 404, 409, 422}, (path, answer.text)
        assert "set-cookie" not in answer.headers
        assert answer.status_code >= 400 or "\\u0000" not in answer.text, path


async def test_a_title_never_becomes_a_header(ada: Person) -> None:
    for brief in ('x"; filename="../../evil.sh', "x\r\nSet-Cookie: a=b", "\u202egpj.exe", "../../etc/passwd", "日本語"):
        at = f"/v1/projects/{await ada.begin(brief)}"
        archive = await ada.http.get(f"{at}/archive")
        assert archive.status_code == 200
        disposition = archive.headers["content-disposition"]
        name = disposition.removeprefix('attachment; filename="').removesuffix('.zip"')
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"), disposition
        assert "set-cookie" not in archive.headers


@pytest.mark.parametrize(
    "path",
    [
        *("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "//etc/passwd"),
        *(
            ".git/config",
            ".GIT/config",
            "git~1/config",
            "words/../.git/config",
            "words\\..\\x",
            "words/%00",
            "%ed%a0%80/..",
        ),
    ],
)
async def test_a_path_that_leads_out_is_refused_however_it_is_spelled(
    here: Installation, ada: Person, path: str
) -> None:
    at = f"/v1/projects/{await ada.begin()}"
    before = await kept(here.app.database)
    answer = await ada.http.get(f"{at}/files/content?path={path}")
    assert (answer.status_code, told_of(answer)["code"]) == (422, "unsafe_path")
    within = await ada.http.get(f"{at}/files/content/{path}")
    assert within.status_code in {404, 422}
    assert changed(before, await kept(here.app.database)) == set()


async def test_a_symbolic_link_is_text_and_leads_nowhere(here: Installation, ada: Person) -> None:
    """None is ever committed by us; one that was planted is shown as what it says."""
    project_id = await ada.begin()
    repository = pygit2.init_repository(str(here.app.deletion.repository_at(project_id)), bare=True)
    leading = repository.create_blob(b"/etc/passwd")
    tree = repository.TreeBuilder()
    tree.insert("passwd", leading, pygit2.enums.FileMode.LINK)
    by = pygit2.Signature("x", "x@localhost", 1, 0)
    sha = str(repository.create_commit("refs/heads/main", by, by, "x", tree.write(), []))
    async with here.app.database.transaction() as session:
        await session.execute(text("UPDATE projects SET head_sha = :sha"), {"sha": sha})
    at = f"/v1/projects/{project_id}"
    read = await ada.get(f"{at}/files/content", params={"path": "passwd"})
    assert read["content"] == "/etc/passwd"
    for beyond in ("passwd/", "passwd/x"):
        answer = await ada.http.get(f"{at}/files/content", params={"path": beyond})
        assert answer.status_code in {404, 422}


async def sent_without_an_end(here: Installation, person: Person, path: str) -> str:
    """Send and send; return what was answered, once the server does not listen any more."""
    at = urlsplit(here.url)
    reading, writing = await asyncio.open_connection(at.hostname, at.port)
    head = ("Content-Type: application/json", "Transfer-Encoding: chunked", f"Host: {at.netloc}")
    token = f"Authorization: {person.http.headers['authorization']}"
    writing.write("\r\n".join((f"POST {path} HTTP/1.1", token, *head, "", "")).encode())

    async def go_on() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writing.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
                await writing.drain()
                await asyncio.sleep(0.001)

    try:
        answer, _ = await asyncio.gather(reading.readuntil(b"}"), go_on())
        return answer.decode()
    finally:
        writing.close()


async def test_a_body_without_an_end_is_answered_and_then_not_heard(here: Installation, ada: Person) -> None:
    project_id = str(await ada.begin())
    before = await kept(here.app.database)
    paths = ("/v1/projects", f"/v1/projects/{project_id}/pause", "/orchestrate/run-loop", "/auth/code")
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(sent_without_an_end(here, ada, path) for path in paths))
    for answer in answers:
        assert answer.startswith("HTTP/1.1 413 ")
        assert '"code": "body_too_large"' in answer
    assert changed(before, await kept(here.app.database)) == set()


BAD_PARAMETERS: Mapping[str, Callable[[], str]] = {
    "project_id": lambda: "%00",
    "task_key": lambda: "T1'--",
    "user_id": lambda: "9" * 400,
    "token_id": lambda: str(uuid.uuid4())[:-1],
    "fingerprint": lambda: "..%2f..%2f",
    "token": lambda: "%ff%fe",
}


async def test_a_part_of_the_path_that_is_none_is_refused_by_every_route(here: Installation, admin: Person) -> None:
    before = await kept(here.app.database)
    tried = set()
    for route in documented(here.served):
        for parameter in route.param_convertors:
            good = dict.fromkeys(route.param_convertors, str(uuid.UUID(int=7)))
            path = route.path_format.format(**{**good, parameter: BAD_PARAMETERS[parameter]()})
            method = next(iter(route.methods or ()))
            answer = await admin.http.request(method, path, json=CALLS[named(route)].body)
            assert answer.status_code in {403, 404, 422}, (named(route), parameter, answer.text)
            told_of(answer)
            tried.add(parameter)
    assert tried == set(BAD_PARAMETERS)
    assert changed(before, await kept(here.app.database)) == set()
