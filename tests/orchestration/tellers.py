"""Other processes of the same installation that tell a project's news."""

import asyncio
import uuid

from bottega.db.transaction import Database
from bottega.orchestration import progress
from bottega.orchestration.events import TaskApproved
from bottega.orchestration.herald import Herald


def tell_many(*, url: str, project_id: uuid.UUID, name: str, count: int) -> None:
    asyncio.run(_tell_many(url=url, project_id=project_id, name=name, count=count))


async def _tell_many(*, url: str, project_id: uuid.UUID, name: str, count: int) -> None:
    database = Database(url=url)
    herald = Herald(database=database)
    database.hear(herald.hear)
    for number in range(count):
        async with database.transaction() as session:
            await progress.tell(session, project_id=project_id, events=(TaskApproved(task_key=f"{name}{number}"),))
    await herald.close()
    await database.close()
