import asyncio
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select
from tests.database import MakeProject, MakeUser
from tests.indexing.samples import NOTES, WORDS, python_files

from bottega.db.transaction import Database
from bottega.indexing.service import CodebaseIndexingService, SearchHit
from bottega.projects.service import create_project, read_files, write_files
from bottega.projects.tables import Project


@pytest.fixture
def service(database: Database) -> CodebaseIndexingService:
    return CodebaseIndexingService(database=database)


@pytest.fixture
async def project_id(make_user: MakeUser, make_project: MakeProject) -> uuid.UUID:
    return (await make_project(await make_user())).id


async def write(database: Database, project_id: uuid.UUID, changed: dict[str, str | None]) -> None:
    """Write files as the product does: the rows and their index in one transaction."""
    service = CodebaseIndexingService(database=database)
    prepared = service.prepare({path: text for path, text in changed.items() if text is not None})
    async with database.transaction() as session:
        await write_files(session, project_id=project_id, changed=changed)
        await service.index(session, project_id=project_id, changed=changed, prepared=prepared)


async def test_a_hit_shows_where_and_why(
    service: CodebaseIndexingService, database: Database, project_id: uuid.UUID
) -> None:
    await write(database, project_id, {"app/notes.py": NOTES, "README.md": "# Notes\n\nFind notes by a word.\n"})
    best, *_ = await service.search(project_id=project_id, query="find a note", limit=3)
    assert (best.path, best.symbol, best.kind, best.start_line, best.end_line) == (
        "app/notes.py",
        "Notes.find",
        "method",
        14,
        16,
    )
    assert best.text == "    def find(self, word):\n\n        return [n for n in self.kept if word in n]"
    assert best.why[0] == "find"


async def test_an_edit_is_found_at_once_by_every_process(database: Database, project_id: uuid.UUID) -> None:
    here, there = CodebaseIndexingService(database=database), CodebaseIndexingService(database=database)
    await write(database, project_id, {"a.py": "def export_notes(): pass\n", "b.py": "def rename(): pass\n"})
    assert [hit.path for hit in await there.search(project_id=project_id, query="export")] == ["a.py"]
    await write(database, project_id, {"a.py": "\n\ndef import_notes(): pass\n", "b.py": "def export(): pass\n"})
    for service in (here, there):
        assert [(hit.path, hit.text) for hit in await service.search(project_id=project_id, query="export")] == [
            ("b.py", "def export(): pass"),
        ]
        assert [hit.start_line for hit in await service.search(project_id=project_id, query="import_notes")] == [3]


async def test_a_deleted_file_is_gone(
    service: CodebaseIndexingService, database: Database, project_id: uuid.UUID
) -> None:
    await write(database, project_id, {"a.py": "def export(): pass\n"})
    assert await service.search(project_id=project_id, query="export")
    await write(database, project_id, {"a.py": None})
    assert await service.search(project_id=project_id, query="export") == ()


async def test_the_status_and_version_follow_what_is_indexed(database: Database, project_id: uuid.UUID) -> None:
    seen = []
    for changed in ({"a.py": "x = 1\n"}, {"a.py": None, "b.md": ""}, {"b.md": None}):
        await write(database, project_id, dict(changed))
        async with database.transaction() as session:
            project = (await session.execute(select(Project).where(Project.id == project_id))).scalar_one()
            seen.append((project.index_version, project.codebase_index_status))
    assert seen == [(1, "ready"), (2, "ready"), (3, "empty")]


async def test_projects_with_the_same_paths_are_kept_apart(
    service: CodebaseIndexingService, database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    user = await make_user()
    projects = [(await make_project(user)).id for _ in range(3)]
    for number, project_id in enumerate(projects):
        await write(database, project_id, {"a.py": f"def export(): return {number}\n"})
    for number, project_id in enumerate(projects):
        found = await service.search(project_id=project_id, query="export")
        assert [hit.text for hit in found] == [f"def export(): return {number}"]


async def test_an_unknown_project_has_no_code(service: CodebaseIndexingService) -> None:
    assert await service.search(project_id=uuid.uuid4(), query="anything") == ()


async def test_a_change_that_is_rolled_back_was_never_seen(
    service: CodebaseIndexingService, database: Database, project_id: uuid.UUID
) -> None:
    await write(database, project_id, {"a.py": "def export(): pass\n"})
    changed = {"a.py": "def rename(): pass\n"}

    async def change_and_stop() -> None:
        async with database.transaction() as session:
            await write_files(session, project_id=project_id, changed=changed)
            await service.index(session, project_id=project_id, changed=changed)
            found = await service.search(project_id=project_id, query="export rename")
            assert [hit.text for hit in found] == ["def export(): pass"]
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await change_and_stop()
    await write(database, project_id, {"b.py": "def third(): pass\n"})  # takes the version that was rolled back
    assert await service.search(project_id=project_id, query="rename") == ()
    assert len(await service.search(project_id=project_id, query="export third")) == 2


async def test_searching_while_others_write_finds_the_old_or_the_new_and_never_a_mixture(
    service: CodebaseIndexingService, database: Database, project_id: uuid.UUID
) -> None:
    await write(database, project_id, {"a.py": "def export(): pass\n"})
    writing = True

    async def keep_writing() -> None:
        nonlocal writing
        for n in range(40):
            await write(database, project_id, {"a.py": "\n" * (n % 7) + "def export(): pass\n", "b.py": "x = 1\n" * n})
        writing = False

    async def keep_searching() -> int:
        searches = 0
        while writing:
            found = await service.search(project_id=project_id, query="export")
            assert [hit.text for hit in found] == ["def export(): pass"]
            searches += 1
        return searches

    _, *searches = await asyncio.gather(keep_writing(), keep_searching(), keep_searching())
    assert min(searches) > 5


async def test_a_file_written_without_its_index_is_not_shown_wrongly(
    service: CodebaseIndexingService, database: Database, project_id: uuid.UUID
) -> None:
    await write(database, project_id, {"a.py": "def export(): pass\n", "b.py": "def export_all(): pass\n"})
    async with database.transaction() as session:
        await write_files(session, project_id=project_id, changed={"a.py": "secret = 1\n"})
    assert [hit.path for hit in await service.search(project_id=project_id, query="export")] == ["b.py"]


async def test_what_was_prepared_from_another_text_is_not_used(
    service: CodebaseIndexingService, database: Database, project_id: uuid.UUID
) -> None:
    changed = {"a.py": "def export(): pass\n"}
    async with database.transaction() as session:
        await write_files(session, project_id=project_id, changed=changed)
        prepared = service.prepare({"a.py": "def rename(): pass\n"})
        await service.index(session, project_id=project_id, changed=changed, prepared=prepared)
    assert await service.search(project_id=project_id, query="rename") == ()
    assert await service.search(project_id=project_id, query="export")


async def test_a_search_after_no_change_reads_no_index_rows(
    service: CodebaseIndexingService, database: Database, project_id: uuid.UUID
) -> None:
    await write(database, project_id, {"a.py": "def export(): pass\n", "b.py": "def rename(): pass\n"})
    await service.search(project_id=project_id, query="export")
    with statements(database) as seen:
        await service.search(project_id=project_id, query="rename")
    assert not [sql for sql in seen if "code_chunks" in sql]
    assert len(seen) == 2  # the version, and the text of what was found


async def test_every_statement_of_a_search_names_its_project(
    service: CodebaseIndexingService, database: Database, project_id: uuid.UUID
) -> None:
    await write(database, project_id, {"a.py": "def export(): pass\n"})
    with statements(database) as seen:
        assert await service.search(project_id=project_id, query="export")
    assert len(seen) == 3
    assert all(re.search(r"WHERE .*\b(project_id|projects\.id) = ", sql, re.DOTALL) for sql in seen)


async def test_memory_is_bounded_by_forgetting_the_longest_unused(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    service = CodebaseIndexingService(database=database, max_remembered_chunks=2)
    user = await make_user()
    projects = [(await make_project(user)).id for _ in range(3)]
    for project_id in projects:
        await write(database, project_id, {"a.py": "def export(): pass\n"})
        await service.search(project_id=project_id, query="export")
    with statements(database) as seen:
        for project_id in reversed(projects):
            assert await service.search(project_id=project_id, query="export")
    assert len([sql for sql in seen if "code_chunks" in sql]) == 1


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Collect the SQL a database is sent while this is open."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)


changes = st.dictionaries(
    st.sampled_from(["a.py", "b.py", "lib/note.py", "export.md"]), st.none() | python_files, min_size=1, max_size=3
)
histories = st.lists(st.tuples(st.integers(0, 1), changes), min_size=1, max_size=5)
queries = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)


@dataclass
class Expected:
    """What a project should hold, kept beside the database."""

    files: dict[str, str] = field(default_factory=dict)

    def apply(self, changed: dict[str, str | None]) -> None:
        for path, text in changed.items():
            self.files.pop(path, None)
            if text is not None:
                self.files[path] = text

    def shows(self, hit: SearchHit) -> bool:
        lines = self.files[hit.path].split("\n")
        return hit.text == "\n".join(lines[hit.start_line - 1 : hit.end_line]) and bool(hit.text.strip())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, query=queries)
async def test_whatever_is_edited_no_stale_or_foreign_line_is_ever_shown(
    database: Database, make_user: MakeUser, history: list[tuple[int, dict[str, str | None]]], query: str
) -> None:
    """Two projects, one long-lived service: after every change its answers are those of an index built afresh."""
    user_id = (await make_user()).id
    async with database.transaction() as session:
        ids = [(await create_project(session, user_id=user_id, description="x")).id for _ in range(2)]
        rebuilt = [(await create_project(session, user_id=user_id, description="x")).id for _ in range(2)]
    expected = [Expected(), Expected()]
    service = CodebaseIndexingService(database=database)
    for which, changed in history:
        await write(database, ids[which], changed)
        expected[which].apply(changed)
        for project, model in zip(ids, expected, strict=True):
            assert all(model.shows(hit) for hit in await service.search(project_id=project, query=query))
    for project, fresh, model in zip(ids, rebuilt, expected, strict=True):
        await write(database, fresh, dict(model.files))
        async with database.transaction() as session:
            assert await read_files(session, project_id=project) == model.files
        afresh = await CodebaseIndexingService(database=database).search(project_id=fresh, query=query)
        assert await service.search(project_id=project, query=query) == afresh
