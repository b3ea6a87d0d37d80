"""Idempotency keys, for every route that takes one: twenty at once do what one alone does, and no more."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bottega.access.types import Role
from bottega.billing.audit import audit
from bottega.entrypoints.http.docs import described
from tests.entrypoints.http.api.conftest import Installation, Person, installed
from tests.entrypoints.http.api.rows import grown, kept
from tests.journeys import scripts

AT_ONCE = 20
ASKING = {**scripts.REFINED, "gather-1.md": scripts.gathered("Count characters too?")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    here: Installation
    person: Person

    @property
    def at(self) -> str:
        return "/v1/projects"

    async def begun(self) -> str:
        return f"{self.at}/{await self.person.begin()}"

    async def asked(self) -> str:
        project_id = await self.person.begin()
        await self.here.drive(project_id, user_id=self.person.id)
        return f"{self.at}/{project_id}"

    async def planned(self) -> str:
        at = await self.asked()
        await self.person.post(f"{at}/answers", await self.answers(at))
        await self.drive(at)
        return at

    async def drive(self, at: str) -> None:
        await self.here.drive(uuid.UUID(at.rpartition("/")[2]), user_id=self.person.id)

    async def answers(self, at: str) -> dict[str, Any]:
        (question,) = (await self.person.get(f"{at}/questions"))["items"]
        return {"answers": [{"question_id": question["id"], "text": "No"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that can be done, and what it would do. `number` makes each one's own."""

    path: str
    body: object = None
    status: int = 200


Prepare = Callable[[Scene, int], Awaitable[Asked]]


async def create(scene: Scene, number: int) -> Asked:
    return Asked(path=scene.at, body={"brief": f"Tool {number}"}, status=201)


async def message(scene: Scene, _: int) -> Asked:
    return Asked(path=f"{await scene.begun()}/messages", body={"text": "Use tabs"})


async def pause(scene: Scene, _: int) -> Asked:
    return Asked(path=f"{await scene.begun()}/pause")


async def resume(scene: Scene, _: int) -> Asked:
    at = await scene.begun()
    await scene.person.post(f"{at}/pause")
    return Asked(path=f"{at}/resume", body={"remark": "Use tabs"})


async def cancel(scene: Scene, _: int) -> Asked:
    return Asked(path=f"{await scene.begun()}/cancel")


async def refine(scene: Scene, _: int) -> Asked:
    at = await scene.planned()
    await scene.person.post(f"{at}/plan/approve")
    await scene.drive(at)
    body = {"path": "words/count.py", "instruction": "Count both sides of a hyphen"}
    return Asked(path=f"{at}/refinements", body=body)


async def answer(scene: Scene, _: int) -> Asked:
    at = await scene.asked()
    return Asked(path=f"{at}/answers", body=await scene.answers(at))


async def approve(scene: Scene, _: int) -> Asked:
    return Asked(path=f"{await scene.planned()}/plan/approve")


async def change(scene: Scene, _: int) -> Asked:
    return Asked(path=f"{await scene.planned()}/plan/change", body={"wish": "No command line"})


async def edit(scene: Scene, _: int) -> Asked:
    at = await scene.planned()
    revision = (await scene.person.get(f"{at}/tasks"))["revision"]
    return Asked(path=f"{at}/plan/edit", body={"revision": revision, "tasks": [{"key": "T1", "title": "Counting"}]})


async def loop(scene: Scene, _: int) -> Asked:
    at = await scene.planned()
    return Asked(path="/orchestrate/run-loop", body={"project_id": at.rpartition("/")[2]})


async def checkout(_: Scene, number: int) -> Asked:
    return Asked(path="/v1/credits/checkouts", body={"package": ("buy_100", "buy_500")[number - 1]}, status=201)


async def own_key(_: Scene, number: int) -> Asked:
    return Asked(path="/v1/keys", body={"provider": "openrouter", "key": f"sk-or-v1-{number:032}"}, status=201)


async def platform_key(_: Scene, number: int) -> Asked:
    return Asked(path="/v1/admin/keys", body={"provider": "openrouter", "key": f"sk-or-v1-{number:032}"}, status=201)


async def grant(scene: Scene, number: int) -> Asked:
    at = f"/v1/admin/users/{scene.person.id}/grants"
    return Asked(path=at, body={"credits": str(number), "reason": "A test"}, status=201)


async def price(_: Scene, number: int) -> Asked:
    body = {"model": f"openrouter/m{number}", "rates": {"input": "1", "output": "2"}}
    return Asked(path="/v1/admin/prices", body=body, status=201)


DEEDS: Mapping[str, Prepare] = {
    "run_loop": loop,
    "create_project": create,
    "send_message": message,
    "pause_project": pause,
    "resume_project": resume,
    "cancel_project": cancel,
    "refine_file": refine,
    "answer_questions": answer,
    "approve_plan": approve,
    "change_plan": change,
    "edit_plan": edit,
    "create_checkout": checkout,
    "add_key": own_key,
    "add_platform_key": platform_key,
    "grant_credits": grant,
    "set_price": price,
}


def takes_a_key(operation: Mapping[str, Any]) -> bool:
    return any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))


def test_every_route_that_takes_a_key_is_here() -> None:
    operations = [one for all_of in described()["paths"].values() for one in all_of.values()]
    assert {one["operationId"] for one in operations if takes_a_key(one)} == set(DEEDS)


@pytest.mark.parametrize("name", DEEDS)
async def test_twenty_at_once_do_what_one_does(name: str, tmp_path: Path, database_url: str) -> None:
    async with installed(home=tmp_path / "home", database_url=database_url, script=ASKING) as here:
        person = await here.person("root", role=Role.ADMIN)
        scene = Scene(here=here, person=person)
        alone, together = await DEEDS[name](scene, 1), await DEEDS[name](scene, 2)
        before = await kept(here.app.database)
        await sent(person, alone, key="alone")
        between = await kept(here.app.database)
        told = await asyncio.gather(*(sent(person, together, key="together") for _ in range(AT_ONCE)))
        after = await kept(here.app.database)
        assert grown(between, after) == grown(before, between) != {}
        assert len({subject(one) for one in told}) == 1
        again = await person.http.post(together.path, json=together.body, headers=headed("alone"))
        assert (again.status_code, again.json()["code"]) == (422, "idempotency_key_reused")
        assert await kept(here.app.database) == after
        async with here.app.database.reading() as session:
            assert await audit(session) == ()


def headed(key: str) -> Mapping[str, str]:
    return {"Idempotency-Key": key, "Prefer": "wait=0"}


async def sent(person: Person, asked: Asked, *, key: str) -> Mapping[str, Any]:
    told: Mapping[str, Any] = await person.post(asked.path, asked.body, status=asked.status, headers=headed(key))
    return told


def subject(told: Mapping[str, Any]) -> object:
    """Return what an answer is about."""
    names = ("id", "order_id", "project_id", "revision", "model", "balance_after")
    return next(told[name] for name in names if name in told)


async def test_a_project_that_was_begun_and_deleted_is_gone(here: Installation, ada: Person, bob: Person) -> None:
    key, brief = {"Idempotency-Key": "first"}, {"brief": "A tool that counts words."}
    begun = await ada.post("/v1/projects", brief, status=201, headers=key)
    await ada.ask("DELETE", f"/v1/projects/{begun['id']}", status=204)
    before = await kept(here.app.database)
    told = await ada.post("/v1/projects", brief, status=410, headers=key)
    assert (told["code"], "deleted since" in told["detail"]) == ("project_deleted", True)
    assert await kept(here.app.database) == before
    other = await bob.post("/v1/projects", brief, status=201, headers=key)
    again = await ada.post("/v1/projects", brief, status=201, headers={"Idempotency-Key": "second"})
    assert len({begun["id"], other["id"], again["id"]}) == 3


async def test_what_was_refused_leaves_its_key_free(here: Installation, ada: Person) -> None:
    at = f"/v1/projects/{await ada.begin()}"
    key = {"Idempotency-Key": "go"}
    before = await kept(here.app.database)
    told = await ada.post(f"{at}/plan/approve", status=409, headers=key)
    assert told["code"] == "nothing_to_do"
    assert await kept(here.app.database) == before
    await here.drive(uuid.UUID(at.rpartition("/")[2]), user_id=ada.id)
    assert (await ada.post(f"{at}/plan/approve", headers=key))["phase"] == "implement"
    async with here.app.database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM deeds WHERE idempotency_key = 'http:go'")) == 1
