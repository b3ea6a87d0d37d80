"""CodebaseIndexingService: find the code of a project that a text is about.

- The index of a file is one row, replaced in the transaction that writes `project_files`; `projects.index_version`
  rises with it, and one integer read per search tells every process whether what it remembers still holds.
- A search reads one snapshot of the database, and cuts its text from `project_files`: no line is stale, and none is
  another project's, because every statement carries the project's id.
- A search never sees what is not committed, so that a rolled back change cannot be remembered.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, delete, func, select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.db.transaction import Database
from bottega.indexing.chunking import Chunk, chunk_file
from bottega.indexing.tables import CodeChunks
from bottega.projects.languages import language_of
from bottega.projects.service import content_hash
from bottega.projects.tables import Project, ProjectFile

if TYPE_CHECKING:
    from bottega.indexing.ranking import RankedChunk, Ranking

_MAX_REMEMBERED_CHUNKS = 200_000  # of all projects together, about 300 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """`text` is lines `start_line` to `end_line` (1-based, inclusive) of the file as it is now."""

    path: str
    symbol: str
    kind: str
    start_line: int
    end_line: int
    text: str
    score: float
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedFile:
    content_hash: str
    language: str
    chunks: tuple[Chunk, ...]


Prepared = Mapping[str, IndexedFile]  # by path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    version: int
    files: Mapping[str, IndexedFile]
    ranking: "Ranking"


class CodebaseIndexingService:
    def __init__(self, *, database: Database, max_remembered_chunks: int = _MAX_REMEMBERED_CHUNKS) -> None:
        self._database = database
        self._max_remembered_chunks = max_remembered_chunks
        self._remembered: OrderedDict[uuid.UUID, _Remembered] = OrderedDict()

    def prepare(self, files: Mapping[str, str]) -> Prepared:
        """Do the parsing that `index` needs, before its transaction is opened."""
        return {path: _indexed(path, text) for path, text in files.items()}

    async def index(
        self,
        session: AsyncSession,
        *,
        project_id: uuid.UUID,
        changed: Mapping[str, str | None],
        prepared: Prepared | None = None,
    ) -> int:
        """Index the files that changed (None: deleted) in the caller's transaction; return the new index version.

        What was not prepared, or was prepared from another content, is parsed here.
        """
        is_ready = any(text is not None for text in changed.values())
        version = await _next_version(
            session, project_id, is_ready=is_ready
        )  # first: it also makes writers of one project take turns
        gone = [path for path, text in changed.items() if text is None]
        if gone:
            await session.execute(
                delete(CodeChunks).where(CodeChunks.project_id == project_id, CodeChunks.file_path.in_(gone)),
            )
        rows = []
        for path, text in sorted(changed.items()):
            if text is not None:
                known = (prepared or {}).get(path)
                file = known if known and known.content_hash == content_hash(text) else _indexed(path, text)
                rows.append(_row(project_id=project_id, path=path, file=file, version=version))
        if rows:
            await _upsert(session, rows)
        if not is_ready:
            await _tell_status(session, project_id)
        return version

    async def search(self, *, project_id: uuid.UUID, query: str, limit: int = 10) -> tuple[SearchHit, ...]:
        """Return the chunks of a project that `query` is about, best first, at most three of one file.

        It opens a transaction of its own: call it outside any other.
        """
        async with self._database.transaction() as session:
            # One snapshot for all statements below, or a write between two of them would tear lines from text.
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            version = await session.scalar(_VERSION, {"of_project": project_id})
            if version is None:
                return ()
            known = await self._up_to_date(session, project_id=project_id, version=version)
            ranked = known.ranking.search(query=query, limit=limit)
            texts = await _current_texts(session, project_id=project_id, ranked=ranked, known=known)
        return tuple(_hit(found, texts[found.path]) for found in ranked if found.path in texts)

    async def _up_to_date(self, session: AsyncSession, *, project_id: uuid.UUID, version: int) -> _Remembered:
        known = self._remembered.get(project_id)
        if known is None or known.version != version:
            known = await _refreshed(session, project_id=project_id, version=version, known=known)
            self._remembered[project_id] = known
        self._remembered.move_to_end(project_id)
        self._forget_the_longest_unused()
        return known

    def _forget_the_longest_unused(self) -> None:
        total = sum(len(known.ranking) for known in self._remembered.values())
        while total > self._max_remembered_chunks and len(self._remembered) > 1:
            _, forgotten = self._remembered.popitem(last=False)
            total -= len(forgotten.ranking)


def _indexed(path: str, text: str) -> IndexedFile:
    language = language_of(path)
    return IndexedFile(
        content_hash=content_hash(text),
        language=language,
        chunks=chunk_file(text=text, language=language),
    )


async def _next_version(session: AsyncSession, project_id: uuid.UUID, *, is_ready: bool) -> int:
    version: int = (await session.execute(_NEXT_VERSION, {"project_id": project_id, "is_ready": is_ready})).scalar_one()
    return version


# Every commit and every search runs these: they are built once.
_VERSION = select(Project.index_version).where(Project.id == bindparam("of_project"))
_NEXT_VERSION = sql("""
UPDATE projects SET index_version = index_version + 1,
    codebase_index_status = CASE WHEN :is_ready THEN 'ready' ELSE codebase_index_status END
WHERE id = :project_id RETURNING index_version
""")
_TELL_STATUS = sql("""
UPDATE projects SET codebase_index_status =
    CASE WHEN EXISTS (SELECT FROM code_chunks WHERE project_id = :project_id) THEN 'ready' ELSE 'empty' END
WHERE id = :project_id
""")
_ROW = insert(CodeChunks)
_FRESH = {name: _ROW.excluded[name] for name in ("content_hash", "language", "chunks", "index_version")}
_UPSERT = _ROW.on_conflict_do_update(
    index_elements=[CodeChunks.project_id, CodeChunks.file_path], set_={**_FRESH, "updated_at": func.now()}
)
_CHANGED_SINCE = select(
    CodeChunks.file_path,
    CodeChunks.content_hash,
    CodeChunks.language,
    case((CodeChunks.index_version > bindparam("seen"), CodeChunks.chunks)),
).where(CodeChunks.project_id == bindparam("of_project"))
_TEXTS = select(ProjectFile.file_path, ProjectFile.content_hash, ProjectFile.content).where(
    ProjectFile.project_id == bindparam("of_project"), ProjectFile.file_path.in_(bindparam("paths", expanding=True))
)


def _row(*, project_id: uuid.UUID, path: str, file: IndexedFile, version: int) -> dict[str, object]:
    return {
        "project_id": project_id,
        "file_path": path,
        "content_hash": file.content_hash,
        "language": file.language,
        "chunks": [_to_json(chunk) for chunk in file.chunks],
        "index_version": version,
    }


async def _upsert(session: AsyncSession, rows: list[dict[str, object]]) -> None:
    await session.execute(_UPSERT, rows)


async def _tell_status(session: AsyncSession, project_id: uuid.UUID) -> None:
    await session.execute(_TELL_STATUS, {"project_id": project_id})


async def _refreshed(
    session: AsyncSession,
    *,
    project_id: uuid.UUID,
    version: int,
    known: _Remembered | None,
) -> _Remembered:
    """Read the rows that changed since `known`; of the others only their names."""
    from bottega.indexing.ranking import Ranking  # noqa: PLC0415 -- numpy: a tenth of a second before the first word

    seen = known.version if known and known.version < version else -1
    rows = await session.execute(_CHANGED_SINCE, {"of_project": project_id, "seen": seen})
    files = {
        path: known.files[path]
        if known and chunks is None
        else IndexedFile(content_hash=digest, language=language, chunks=tuple(map(_from_json, chunks)))
        for path, digest, language, chunks in rows
    }
    ranking = await asyncio.to_thread(Ranking, {path: file.chunks for path, file in files.items()})
    return _Remembered(version=version, files=files, ranking=ranking)


async def _current_texts(
    session: AsyncSession,
    *,
    project_id: uuid.UUID,
    ranked: "tuple[RankedChunk, ...]",
    known: _Remembered,
) -> dict[str, str]:
    """Return the texts of the files that were hit, but of none that was written without being indexed."""
    paths = list({found.path for found in ranked})
    if not paths:
        return {}
    rows = await session.execute(_TEXTS, {"of_project": project_id, "paths": paths})
    return {path: content for path, digest, content in rows if digest == known.files[path].content_hash}


def _hit(found: "RankedChunk", content: str) -> SearchHit:
    chunk = found.chunk
    return SearchHit(
        path=found.path,
        symbol=chunk.symbol,
        kind=chunk.kind,
        start_line=chunk.start_line,
        end_line=chunk.end_line,
        text="\n".join(content.split("\n")[chunk.start_line - 1 : chunk.end_line]),
        score=found.score,
        why=found.why,
    )


def _to_json(chunk: Chunk) -> dict[str, Any]:
    return {
        "symbol": chunk.symbol,
        "kind": chunk.kind,
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "terms": {"defines": dict(chunk.defines), "uses": dict(chunk.uses)},
    }


def _from_json(row: Mapping[str, Any]) -> Chunk:
    return Chunk(
        symbol=row["symbol"],
        kind=row["kind"],
        start_line=row["start_line"],
        end_line=row["end_line"],
        defines=row["terms"]["defines"],
        uses=row["terms"]["uses"],
    )
