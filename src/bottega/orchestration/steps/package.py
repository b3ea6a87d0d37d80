"""The delivery: the archive is packed, stored under a key of its content, and the project is completed."""

import asyncio
import hashlib

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.money import show_credits
from bottega.orchestration import packing
from bottega.orchestration.events import Delivered
from bottega.orchestration.state import Phase, RunState
from bottega.orchestration.steps.types import Situation, StepResult, Workbench
from bottega.projects.tables import Project


async def package(situation: Situation, bench: Workbench) -> StepResult:
    project = situation.project
    async with bench.database.reading() as session:
        contents = await packing.collect(session, project_id=project.id, credit_value_usd=bench.credit_value_usd)
    archive = await asyncio.to_thread(packing.pack, contents, bench.repository(project.id))
    key = f"archives/{project.id}/{hashlib.sha256(archive).hexdigest()[:16]}.zip"
    await bench.storage.put(key=key, content=archive)

    async def write(session: AsyncSession) -> None:
        values = {"archive_key": key, "completed_at": func.now()}
        await session.execute(update(Project).where(Project.id == project.id).values(values))

    delivered = Delivered(
        title=project.title,
        files=len(contents.files),
        size_bytes=len(archive),
        credits_charged=show_credits(contents.receipt.credits),
    )
    return StepResult(
        outcome="packed",
        output={"archive_key": key, "size_bytes": len(archive)},
        phase=Phase.FINISHED,
        state=RunState.DONE,
        write=write,
        events=(delivered,),
    )
