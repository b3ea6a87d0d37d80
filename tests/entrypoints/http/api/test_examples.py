"""Every example of the description was an answer of a real installation, and would be one again.

`API_EXAMPLES=write` (as in `make docs-api`) writes them down anew instead of comparing.
"""

import importlib
import json
import os
import pkgutil
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bottega
from bottega.access.types import Role
from bottega.core.errors import AppError
from bottega.entrypoints.http.api import examples
from bottega.entrypoints.http.api.examples import ANSWERED, ASKED
from bottega.entrypoints.http.docs import described
from bottega.entrypoints.http.problems import MEDIA_TYPE
from tests.entrypoints.http.api.conftest import Installation, Person, installed
from tests.journeys import scripts

FILE = Path(examples.__file__).with_name(examples.FILE)
SCRIPT = {
    **scripts.REFINED,
    "gather-1.md": scripts.gathered("Count characters too?"),
    "plan-2.md": scripts.REFINED["plan-1.md"],
}
SECRET = re.compile(r"^(bott_|bort_|eyJ)\S+$")
LONGEST_TEXT, LONGEST_LIST = 400, 2
OPERATIONS = {one["operationId"]: one for all_of in described()["paths"].values() for one in all_of.values()}


@dataclass(kw_only=True)
class Record:
    """Asks as a program does, and keeps what was said."""

    here: Installation
    person: Person
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def ask(self, name: str, request: str, body: object = None, *, person: Person | None = None) -> Any:
        """`request` is a method and a path."""
        method, path = request.split(" ")
        given = {} if body is None else {"json": body}
        answer = await (person or self.person).http.request(method, path, **given)  # type: ignore[arg-type]
        assert answer.status_code < 300, (name, answer.text)
        self.kept[name] = {} if body is None else {ASKED: shortened(body)}
        if not answer.content or answer.headers["content-type"] != "application/json":
            return None
        told = answer.json()
        self.kept[name][ANSWERED] = shortened(told)
        return told


def shortened(value: Any) -> Any:
    """Return it without secrets, and no longer than one reads."""
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value[:LONGEST_LIST]]
    if isinstance(value, str) and SECRET.match(value):
        return f"{value[:5]}..."
    if isinstance(value, str) and "/download/" in value:
        return f"{value.partition('/download/')[0]}/download/..."
    return f"{value[:LONGEST_TEXT]}..." if isinstance(value, str) and len(value) > LONGEST_TEXT else value


async def played(here: Installation) -> Mapping[str, Mapping[str, Any]]:
    """Let a person and an admin do everything once."""
    ada, boss = await here.person("ada"), await here.person("boss", role=Role.ADMIN)
    record = Record(here=here, person=ada)
    await _signed_in(record)
    await _steered(record)
    await _built(record)
    await _paid(record)
    await _administered(Record(here=here, person=boss, kept=record.kept), ada)
    return record.kept


async def _signed_in(record: Record) -> None:
    async with record.here.app.database.transaction() as session:
        code = await record.here.access.codes.issue_code(session, user_id=record.person.id)
    told = await record.ask("sign_in_with_code", "POST /auth/code", {"code": code})
    for name in ("sign_in_with_telegram", "sign_in_with_mini_app"):  # of one shape: there is no bot here
        record.kept[name] = {ANSWERED: record.kept["sign_in_with_code"][ANSWERED]}
    token = {"refresh_token": told["refresh_token"]}
    told = await record.ask("refresh_sign_in", "POST /auth/refresh", token)
    await record.ask("sign_out", "POST /auth/sign-out", {"refresh_token": told["refresh_token"]})
    made = await record.ask("create_token", "POST /tokens", {"name": "build server", "scopes": ["projects:read"]})
    await record.ask("list_tokens", "GET /tokens")
    await record.ask("revoke_token", f"DELETE /tokens/{made['id']}")


async def _steered(record: Record) -> None:
    begun = await record.ask("create_project", "POST /v1/projects", {"brief": scripts.BRIEF})
    at = f"/v1/projects/{begun['id']}"
    await record.ask("pause_project", f"POST {at}/pause")
    await record.ask("resume_project", f"POST {at}/resume", {"remark": "Try without regex"})
    await record.ask("cancel_project", f"POST {at}/cancel")
    await record.ask("delete_project", f"DELETE {at}")


async def _built(record: Record) -> None:
    here, person = record.here, record.person
    begun = await record.ask("create_project", "POST /v1/projects", {"brief": scripts.BRIEF})
    project_id, at = uuid.UUID(begun["id"]), f"/v1/projects/{begun['id']}"
    await here.drive(project_id, user_id=person.id)
    (question,) = (await person.get(f"{at}/questions"))["items"]
    answers = {"answers": [{"question_id": question["id"], "text": "No"}]}
    await record.ask("answer_questions", f"POST {at}/answers", answers)
    await record.ask("list_questions", f"GET {at}/questions")
    await here.drive(project_id, user_id=person.id)
    tasks = [{"key": "T1", "title": "Counting, tested"}, {"key": "T2"}]
    revision = (await record.ask("list_tasks", f"GET {at}/tasks"))["revision"]
    await record.ask("edit_plan", f"POST {at}/plan/edit", {"revision": revision, "tasks": tasks})
    await record.ask("change_plan", f"POST {at}/plan/change", {"wish": "Leave nothing untested"})
    await here.drive(project_id, user_id=person.id)
    await record.ask("limit_project", f"PUT {at}/credit-limit", {"credits": "50"})
    await record.ask("approve_plan", f"POST {at}/plan/approve")
    await record.ask("send_message", f"POST {at}/messages", {"text": "Use tabs, not spaces"})
    await here.drive(project_id, user_id=person.id)
    await record.ask("run_loop", "POST /orchestrate/run-loop", {"project_id": str(project_id)})
    await _looked_into(record, at)
    wanted = {"path": "words/count.py", "instruction": "Count both sides of a hyphen"}
    await record.ask("refine_file", f"POST {at}/refinements", wanted)


async def _looked_into(record: Record, at: str) -> None:
    for name, path in (
        ("list_projects", "/v1/projects?limit=1"),
        ("read_project", at),
        ("read_task", f"{at}/tasks/T1"),
        ("read_task_diff", f"{at}/tasks/T1/diff"),
        ("list_commits", f"{at}/commits"),
        ("list_files", f"{at}/files"),
        ("read_file", f"{at}/files/content?path=words/count.py"),
        ("search_code", f"{at}/search?q=count%20words"),
        ("read_receipt", f"{at}/receipt"),
        ("read_usage", f"{at}/usage"),
        ("download_archive", f"{at}/archive"),
    ):
        await record.ask(name, f"GET {path}")
    await record.ask("make_download_link", f"POST {at}/download-links", {"lifetime_seconds": 3600})


async def _paid(record: Record) -> None:
    await record.ask("create_checkout", "POST /v1/credits/checkouts", {"package": "buy_100"})
    for name in ("packages", "orders", "transactions"):
        await record.ask(f"list_{name}", f"GET /v1/credits/{name}")
    await record.ask("read_credits", "GET /v1/credits")
    key = {"provider": "openrouter", "key": "sk-or-v1-...", "label": "Mine"}
    kept = await record.ask("add_key", "POST /v1/keys", {**key, "key": "sk-or-v1-0123456789abcdef0123456789abcdef"})
    record.kept["add_key"][ASKED] = key
    await record.ask("list_keys", "GET /v1/keys")
    await record.ask("remove_key", f"DELETE /v1/keys/{kept['fingerprint']}")


async def _administered(record: Record, ada: Person) -> None:
    at = f"/v1/admin/users/{ada.id}"
    await record.ask("list_users", "GET /v1/admin/users")
    await record.ask("read_user", f"GET {at}")
    await record.ask("grant_credits", f"POST {at}/grants", {"credits": "100", "reason": "A trial for the school"})
    await record.ask("change_user", f"PATCH {at}", {"status": "active", "reason": "Asked for by mail"})
    key = {"provider": "openrouter", "key": "sk-or-v1-...", "label": "Pool"}
    wanted = {**key, "key": "sk-or-v1-0123456789abcdef0123456789abcdef"}
    kept = await record.ask("add_platform_key", "POST /v1/admin/keys", wanted)
    record.kept["add_platform_key"][ASKED] = key
    await record.ask("list_platform_keys", "GET /v1/admin/keys")
    await record.ask("remove_platform_key", f"DELETE /v1/admin/keys/{kept['fingerprint']}")
    price = {"model": "openrouter/some/model", "rates": {"input": "0.5", "output": "2", "cached": "0.05"}}
    await record.ask("set_price", "POST /v1/admin/prices", price)
    for name, path in (
        ("list_prices", "prices"),
        ("report_usage", "usage"),
        ("list_runs_in_need", "attention"),
        ("read_audit_log", "audit"),
    ):
        await record.ask(name, f"GET /v1/admin/{path}")


def shape(value: Any) -> Any:
    """Return what of a value is the same each time. Null may stand for anything: a machine may have no sandbox."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def told_alike(seen: Any, written: Any) -> bool:
    """Tell whether two shapes fit: what both have of an object is alike, and lists are as full."""
    if isinstance(seen, dict) and isinstance(written, dict):
        return all(told_alike(seen[name], written[name]) for name in seen.keys() & written.keys())
    if isinstance(seen, list) and isinstance(written, list):
        return len(seen) == len(written) and all(map(told_alike, seen, written))
    return bool(seen == written)


async def test_every_example_is_a_real_answer(tmp_path: Path, database_url: str) -> None:
    async with installed(home=tmp_path / "home", database_url=database_url, script=SCRIPT) as here:
        seen = await played(here)
    if os.environ.get("API_EXAMPLES") == "write":  # noqa: TID251 -- tests have no Settings
        text = json.dumps(dict(sorted(seen.items())), indent=1, ensure_ascii=False)
        FILE.write_text(f"{text}\n", encoding="utf-8")
        return
    written = examples.recorded()
    assert seen.keys() == written.keys()
    for name, said in seen.items():
        assert said.keys() == written[name].keys(), name
        for side in said:
            assert keys_of(said[side]) == keys_of(written[name][side]), f"run `make docs-api`: {name}"
            assert told_alike(shape(said[side]), shape(written[name][side])), f"run `make docs-api`: {name}"


def keys_of(value: Any) -> Any:
    return sorted(value) if isinstance(value, dict) else type(value)


def contents(operation: Mapping[str, Any]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    for status, answer in operation["responses"].items():
        for media_type, content in answer.get("content", {}).items():
            yield int(status), media_type, content


def test_every_answer_and_every_problem_has_an_example() -> None:
    codes = known_codes()
    for name, operation in OPERATIONS.items():
        for status, media_type, content in contents(operation):
            if media_type == "application/zip":
                continue
            assert content["example"], (name, status)
            if media_type == MEDIA_TYPE:
                told = content["example"]
                assert told["status"] == status, name
                assert status in codes[told["code"]], (name, status, told["code"])
        if "requestBody" in operation:
            (content,) = operation["requestBody"]["content"].values()
            if not name.startswith("sign_in_with_"):
                assert content["example"], name


def test_every_parameter_says_what_it_is() -> None:
    for name, operation in OPERATIONS.items():
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (name, parameter["name"])


def known_codes() -> dict[str, set[int]]:
    """Return the codes of all errors there are, with their statuses."""
    for module in pkgutil.walk_packages(bottega.__path__, "bottega."):
        if "migrations" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)
    found: dict[str, set[int]] = {}
    waiting: list[type[AppError]] = [AppError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        found.setdefault(kind.code, set()).add(kind.http_status)
    return found | {"invalid_request": {400, 422}}
