"""Projects over HTTP: begun, listed, planned with, steered and deleted."""

import uuid
from typing import Any

from sqlalchemy import func, select, text

from bottega.billing.audit import audit
from bottega.billing.tables import CreditTransaction
from bottega.orchestration.commands.effects import LONGEST_ANSWER
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run
from bottega.projects.tables import Project
from tests.entrypoints.http.api.conftest import Installation, Person, installed
from tests.journeys import scripts

ASKING = {**scripts.GOOD, "gather-1.md": scripts.gathered("Count characters too?", "Read from files?")}


async def test_a_brief_becomes_a_project_that_is_read_and_listed(ada: Person) -> None:
    project_id = await ada.begin("A tool that counts words.\nIn Python.")
    project = await ada.get(f"/v1/projects/{project_id}")
    assert (project["title"], project["status"]) == ("A tool that counts words.", "gathering_requirements")
    assert project["credits_charged"] == "0.00000000"
    listed = await ada.get("/v1/projects")
    assert [one["id"] for one in listed["items"]] == [str(project_id)]
    assert listed["next_cursor"] is None


async def test_where_a_new_project_is_stands_in_its_answer(ada: Person) -> None:
    begun = await ada.http.post("/v1/projects", json={"brief": "A tool"})
    assert (await ada.get(begun.headers["location"]))["id"] == begun.json()["id"]


async def test_pages_show_every_project_once_while_others_are_begun(ada: Person) -> None:
    begun = [str(await ada.begin(f"Tool {number}")) for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = await ada.get("/v1/projects", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        seen += [one["id"] for one in page["items"]]
        await ada.begin("One that comes between")
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == begun[::-1]


async def test_a_cursor_of_nobodys_is_refused(ada: Person) -> None:
    for cursor in ("x", "AAAA", "MjAyNi0wMS0wMSB4", "MDAwMS0wMS0wMVQwMDowMDowMCswMDowMCAw", "é" * 5, "=" * 8):
        told = await ada.get("/v1/projects", params={"cursor": cursor}, status=422)
        assert told["code"] == "bad_cursor"
        told = await ada.get("/v1/credits/transactions", params={"cursor": cursor}, status=422)
        assert told["code"] == "bad_cursor"


async def test_questions_are_answered_some_at_a_time(tmp_path: Any, database_url: str) -> None:
    async with installed(home=tmp_path / "home", database_url=database_url, script=ASKING) as here:
        ada = await here.person()
        project_id = await ada.begin()
        assert await here.drive(project_id, user_id=ada.id) is RunState.WAITING
        at = f"/v1/projects/{project_id}"
        first, second = (await ada.get(f"{at}/questions"))["items"]
        assert first["options"][first["recommended"]] == "Yes"
        one = {"answers": [{"question_id": first["id"], "text": "Yes"}]}
        assert (await ada.post(f"{at}/answers", one))["stop_code"] == "questions"
        told = await ada.post("/orchestrate/run-loop", {"project_id": str(project_id)}, status=409)
        assert "answers to its questions" in told["detail"]
        stranger = {"answers": [{"question_id": str(uuid.uuid4()), "text": "Yes"}]}
        stranger["answers"].append({"question_id": second["id"], "text": "Yes"})
        assert (await ada.post(f"{at}/answers", stranger, status=422))["code"] == "unknown_question"
        long = {"answers": [{"question_id": second["id"], "text": "x" * (LONGEST_ANSWER + 1)}]}
        assert (await ada.post(f"{at}/answers", long, status=422))["code"] == "invalid_request"
        assert [one["answer"] for one in (await ada.get(f"{at}/questions"))["items"]] == ["Yes", None]
        other = {"answers": [{"question_id": second["id"], "text": "Only standard input"}]}
        assert (await ada.post(f"{at}/answers", other))["phase"] == "plan"
        assert [one["answer"] for one in (await ada.get(f"{at}/questions"))["items"]] == ["Yes", "Only standard input"]
        assert (await ada.post(f"{at}/answers", other, status=409))["code"] == "nothing_to_do"


async def test_a_plan_is_edited_and_quoted_anew_before_its_go(here: Installation, ada: Person) -> None:
    project_id = await here.planned(ada)
    at = f"/v1/projects/{project_id}"
    before, tasks = await ada.get(at), await ada.get(f"{at}/tasks")
    assert [task["key"] for task in tasks["items"]] == ["T1", "T2"]
    for faulty, said in (
        ([{"key": "T2"}, {"key": "T1"}], "T2 builds on T1 and must come after it"),
        ([{"key": "T2"}], "which would be left out"),
        ([{"key": "T1"}, {"key": "T1"}], "named twice"),
        ([{"key": "T9"}], "no task 'T9'"),
        ([{"key": "T1", "title": " "}], "title of T1"),
    ):
        told = await ada.post(f"{at}/plan/edit", {"revision": tasks["revision"], "tasks": faulty}, status=422)
        assert said in told["detail"]
    kept = [{"key": "T1", "title": "Counting,\n as T1 says", "description": "Only\0 words."}]
    edited = await ada.post(f"{at}/plan/edit", {"revision": tasks["revision"], "tasks": kept})
    (task,) = edited["items"]
    assert (task["title"], task["description"]) == ("Counting, as T1 says", "Only words.")
    assert (task["files"], task["commands"]) == (tasks["items"][0]["files"], tasks["items"][0]["commands"])
    after = await ada.get(at)
    assert float(after["quote_high_credits"]) < float(before["quote_high_credits"])
    assert "**T1** Counting, as T1 says" in after["todo_markdown"]
    told = await ada.post(f"{at}/plan/edit", {"revision": tasks["revision"], "tasks": kept}, status=409)
    assert told["code"] == "plan_changed"
    await ada.post(f"{at}/plan/approve")
    told = await ada.post(f"{at}/plan/edit", {"revision": edited["revision"], "tasks": kept}, status=409)
    assert told["code"] == "nothing_to_do"


async def test_a_project_is_paused_resumed_and_cancelled(here: Installation, ada: Person) -> None:
    at = f"/v1/projects/{await ada.begin()}"
    assert (await ada.post(f"{at}/pause"))["status"] == "paused"
    assert (await ada.post(f"{at}/resume", {"remark": "Use tabs"}))["state"] == "ready"
    assert (await ada.post(f"{at}/messages", {"text": "And no classes"}))["state"] == "ready"
    async with here.app.database.reading() as session:
        said = (await session.scalars(text("SELECT content FROM conversations ORDER BY id"))).all()
    assert said[1:] == ["Use tabs", "And no classes"]
    assert (await ada.post(f"{at}/cancel"))["status"] == "cancelled"
    for deed in ("pause", "cancel", "plan/approve"):
        assert (await ada.post(f"{at}/{deed}", status=409))["code"] == "nothing_to_do"
    told = await ada.post(f"{at}/refinements", {"path": "a.py", "instruction": "Shorter"}, status=409)
    assert told["code"] == "not_delivered"


async def test_a_limit_is_set_and_lifted(ada: Person) -> None:
    at = f"/v1/projects/{await ada.begin()}"
    assert (await ada.ask("PUT", f"{at}/credit-limit", json={"credits": "12.5"}))["credit_limit"] == "12.50000000"
    assert (await ada.ask("PUT", f"{at}/credit-limit", json={"credits": None}))["credit_limit"] is None
    nothing: tuple[object, ...] = ("NaN", "-1", "1e400", "Infinity", True, [], "x", 1e30)
    for nonsense in nothing:
        await ada.ask("PUT", f"{at}/credit-limit", json={"credits": nonsense}, status=422)


async def test_deleting_leaves_the_ledger_and_nothing_else(here: Installation, ada: Person) -> None:
    project_id = await here.delivered(ada)
    at = f"/v1/projects/{project_id}"
    link = (await ada.post(f"{at}/download-links", {}))["url"].rpartition("/")[2]
    assert (await ada.http.get(f"/download/{link}")).status_code == 200
    transactions = await ada.get("/v1/credits/transactions")
    repository = here.app.deletion.repository_at(project_id)
    assert repository.exists()
    await ada.ask("DELETE", at, status=204)
    await ada.ask("DELETE", at, status=404)
    await ada.get(at, status=404)
    assert (await ada.get("/v1/projects"))["items"] == []
    assert (await ada.http.get(f"/download/{link}")).status_code == 404
    assert not repository.exists()
    left = await ada.get("/v1/credits/transactions")
    assert [one["credits"] for one in left["items"]] == [one["credits"] for one in transactions["items"]]
    async with here.app.database.reading() as session:
        assert await audit(session) == ()
        for table in ("tasks", "runs", "run_events", "evidence", "project_files", "conversations", "code_chunks"):
            rows = await session.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608  # our own words
            assert rows == 0, table
        kept = (await session.scalars(select(Project))).one()
    assert (kept.title, kept.description, kept.archive_key) == ("Deleted", "", None)


async def test_what_cost_nothing_leaves_no_row_and_work_under_way_ends(here: Installation, ada: Person) -> None:
    project_id = await ada.begin()
    run_id = (await here.app.orchestrator.status(user_id=ada.id, project_id=project_id)).run_id
    assert run_id is not None
    await ada.ask("DELETE", f"/v1/projects/{project_id}", status=204)
    async with here.app.database.reading() as session:
        assert (await session.scalar(select(func.count()).select_from(Project))) == 0
        assert (await session.scalar(select(func.count()).select_from(Run))) == 0
        assert (await session.scalar(select(func.count()).select_from(CreditTransaction))) == 1  # what she began with


async def test_a_deletion_that_was_cut_off_is_finished_later(here: Installation, ada: Person) -> None:
    project_id = await here.planned(ada)
    async with here.app.database.transaction() as session:
        await session.execute(text("UPDATE projects SET deleted_at = now()"))
    await ada.get(f"/v1/projects/{project_id}", status=404)
    await here.app.deletion.finish()
    async with here.app.database.reading() as session:
        assert (await session.scalar(text("SELECT count(*) FROM tasks"))) == 0
    await here.app.deletion.finish()
