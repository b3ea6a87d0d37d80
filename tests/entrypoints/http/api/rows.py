"""All that a database holds, in a few words: to see that something changed nothing, or the same as something else."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from bottega.db.transaction import Database

_TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
_UNTOLD = {"personal_tokens": "- 'last_used_at'"}  # noted once an hour, by whichever request comes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    rows: int
    digest: str


async def kept(database: Database) -> Mapping[str, Table]:
    """Return how many rows each table has, and a digest of what they say."""
    async with database.reading() as session:
        names = (await session.scalars(_TABLES)).all()
        said = [
            f"SELECT '{name}' AS name, count(*) AS rows,"  # noqa: S608  # tables of ours
            f" coalesce(md5(string_agg(row::text, '|' ORDER BY row::text)), '') AS digest"
            f" FROM (SELECT to_jsonb(t) {_UNTOLD.get(name, '')} AS row FROM {name} AS t) AS every"
            for name in names
        ]
        found = (await session.execute(text(" UNION ALL ".join(said)))).all()
    return {row.name: Table(rows=row.rows, digest=row.digest) for row in found}


def grown(before: Mapping[str, Table], after: Mapping[str, Table]) -> Mapping[str, int]:
    """Return by how many rows each table grew, where it did."""
    return {name: after[name].rows - table.rows for name, table in before.items() if after[name].rows != table.rows}


def changed(before: Mapping[str, Table], after: Mapping[str, Table]) -> set[str]:
    return {name for name, table in before.items() if after[name] != table}
