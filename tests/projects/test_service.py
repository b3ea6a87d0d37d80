import hashlib
import uuid
from dataclasses import dataclass
from decimal import Decimal

import pytest
from sqlalchemy import select
from tests.database import MakeProject, MakeUser

from bottega.db.transaction import Database
from bottega.projects.paths import UnsafePath
from bottega.projects.service import (
    UnknownProject,
    UnstorableText,
    add_questions,
    append_message,
    create_project,
    get_project,
    list_messages,
    list_projects,
    list_questions,
    read_files,
    write_files,
)
from bottega.projects.tables import ProjectFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    text: str
    options: tuple[str, ...] = ("yes", "no")
    recommended: int = 0


@pytest.fixture
async def project_id(make_user: MakeUser, make_project: MakeProject) -> uuid.UUID:
    return (await make_project(await make_user())).id


async def rows_of(database: Database, project_id: uuid.UUID) -> dict[str, ProjectFile]:
    async with database.transaction() as session:
        found = await session.scalars(select(ProjectFile).where(ProjectFile.project_id == project_id))
        return {row.file_path: row for row in found}


async def test_a_new_project_begins_by_gathering(database: Database, make_user: MakeUser) -> None:
    user = await make_user()
    async with database.transaction() as session:
        made = await create_project(
            session, user_id=user.id, description="A tool", title=" A\ntool ", credit_limit=Decimal(5)
        )
        unnamed = await create_project(session, user_id=user.id, description="x", title="  ")
    async with database.transaction() as session:
        project = await get_project(session, project_id=made.id, user_id=user.id)
    assert (project.title, project.status, project.credit_limit) == ("A tool", "gathering_requirements", Decimal(5))
    assert unnamed.title == "Untitled Project"


async def test_anothers_project_is_as_unknown_as_one_that_does_not_exist(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    stranger = await make_user()
    theirs, nobodys = (await make_project(await make_user())).id, uuid.uuid4()
    messages = set()
    for project_id in (theirs, nobodys):
        async with database.transaction() as session:
            with pytest.raises(UnknownProject) as unknown:
                await get_project(session, project_id=project_id, user_id=stranger.id)
        messages.add(unknown.value.message.replace(str(project_id), "ID"))
    assert messages == {"You have no project ID."}


async def test_a_person_sees_their_own_projects_newest_first(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    mine, other = await make_user(), await make_user()
    made = [(await make_project(mine)).id, (await make_project(mine)).id]
    await make_project(other)
    async with database.transaction() as session:
        assert [project.id for project in await list_projects(session, user_id=mine.id)] == made[::-1]
        assert [project.id for project in await list_projects(session, user_id=mine.id, limit=1)] == made[1:]


async def test_files_are_written_replaced_and_deleted(database: Database, project_id: uuid.UUID) -> None:
    async with database.transaction() as session:
        await write_files(session, project_id=project_id, changed={"b.py": "1\n", "a/é.md": "é", "gone.txt": ""})
    async with database.transaction() as session:
        await write_files(session, project_id=project_id, changed={"b.py": "2\n", "gone.txt": None, "never.txt": None})
        assert await read_files(session, project_id=project_id) == {"a/é.md": "é", "b.py": "2\n"}
    rows = await rows_of(database, project_id)
    assert (rows["a/é.md"].file_type, rows["a/é.md"].size_bytes) == ("markdown", 2)
    assert rows["a/é.md"].content_hash == hashlib.sha256("é".encode()).hexdigest()
    assert rows["b.py"].content_hash == hashlib.sha256(b"2\n").hexdigest()


async def test_a_file_that_did_not_change_keeps_its_row(database: Database, project_id: uuid.UUID) -> None:
    seen = []
    for content in ("1\n", "1\n", "2\n"):
        async with database.transaction() as session:
            await write_files(session, project_id=project_id, changed={"a.py": content})
        seen.append((await rows_of(database, project_id))["a.py"])
    assert len({row.id for row in seen}) == 1
    assert seen[0].updated_at == seen[1].updated_at < seen[2].updated_at


async def test_files_of_another_project_are_not_touched(
    database: Database, project_id: uuid.UUID, make_user: MakeUser, make_project: MakeProject
) -> None:
    other = (await make_project(await make_user())).id
    async with database.transaction() as session:
        await write_files(session, project_id=project_id, changed={"a.py": "mine"})
        await write_files(session, project_id=other, changed={"a.py": "theirs"})
        await write_files(session, project_id=other, changed={"a.py": None})
        assert await read_files(session, project_id=project_id) == {"a.py": "mine"}
        assert await read_files(session, project_id=other) == {}


async def test_many_files_are_written_at_once(database: Database, project_id: uuid.UUID) -> None:
    many: dict[str, str | None] = {f"f{n:04}.txt": str(n) for n in range(2500)}
    async with database.transaction() as session:
        await write_files(session, project_id=project_id, changed=many)
        assert await read_files(session, project_id=project_id) == many


@pytest.mark.parametrize(
    ("path", "content", "refusal"),
    [
        ("../a", "", UnsafePath),
        ("e\u0301.py", "", UnsafePath),
        ("a.py", "nul \0 byte", UnstorableText),
        ("a.py", "half \ud83d pair", UnstorableText),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    database: Database, project_id: uuid.UUID, path: str, content: str, refusal: type[Exception]
) -> None:
    async with database.transaction() as session:
        with pytest.raises(refusal):
            await write_files(session, project_id=project_id, changed={path: content})


async def test_a_conversation_is_read_in_order_and_by_its_own_person_only(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    user, other = await make_user(), await make_user()
    project = await make_project(user)
    async with database.transaction() as session:
        for number, about in enumerate([None, project.id, project.id, project.id]):
            await append_message(
                session, user_id=user.id, project_id=about, channel="cli", role="person", content=f"{number}"
            )
        said = await list_messages(session, user_id=user.id, project_id=project.id, limit=2)
        before = await list_messages(session, user_id=user.id, project_id=None)
        assert [message.content for message in said] == ["2", "3"]
        assert [message.content for message in before] == ["0"]
        assert await list_messages(session, user_id=other.id, project_id=project.id) == ()


async def test_questions_are_numbered_on(database: Database, project_id: uuid.UUID) -> None:
    async with database.transaction() as session:
        await add_questions(session, project_id=project_id, questions=[Ask(text="Colour?"), Ask(text="Sound?")])
        await add_questions(session, project_id=project_id, questions=[Ask(text="Speed?", recommended=1)])
    async with database.transaction() as session:
        questions = await list_questions(session, project_id=project_id)
        assert [(q.ordinal, q.text, q.options, q.recommended, q.answer) for q in questions] == [
            (1, "Colour?", ["yes", "no"], 0, None),
            (2, "Sound?", ["yes", "no"], 0, None),
            (3, "Speed?", ["yes", "no"], 1, None),
        ]
