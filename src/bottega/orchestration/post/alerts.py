"""What the operator of an installation is told: a run that needs attention, a truth of the money that does not hold.

An alert is posted to the outbox by the transaction that makes it true, once. It carries ids, codes and reasons, never a
project's title or what a person wrote.
"""

import hashlib
import uuid
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.audit import Finding
from bottega.billing.auditor import Auditor
from bottega.db.transaction import Database
from bottega.orchestration.events import RunStopped
from bottega.orchestration.post import outbox

TARGET = "alert"
_FINDINGS_SHOWN = 20


async def post_attention(
    session: AsyncSession, *, project_id: uuid.UUID, run_id: uuid.UUID, after_sequence: int, stopped: RunStopped
) -> None:
    """Tell that a run cannot go on by itself. `after_sequence` is the number of the project's last event before."""
    payload = {
        "type": "run.attention",
        "text": f"A run of project {project_id} needs attention ({stopped.stop_code}): {stopped.reason}",
        "project_id": str(project_id),
        "run_id": str(run_id),
        "stop_code": str(stopped.stop_code),
        "reason": stopped.reason,
    }
    key = f"attention:{run_id}:{after_sequence}"
    await outbox.post(session, target=TARGET, payload=payload, dedupe_key=key)


async def post_findings(session: AsyncSession, *, findings: Sequence[Finding]) -> None:
    """Tell that the money does not add up; the same findings once."""
    said = [str(finding) for finding in findings]
    payload = {
        "type": "ledger.untrue",
        "text": f"bottega ledger check: {len(said)} money truths do not hold. {said[0]}",
        "count": len(said),
        "findings": said[:_FINDINGS_SHOWN],
    }
    key = f"ledger:{hashlib.sha256('|'.join(sorted(said)).encode()).hexdigest()}"
    await outbox.post(session, target=TARGET, payload=payload, dedupe_key=key)


class MoneyWatch:
    """Has the ledger audited now and then, and tells the operator what does not hold."""

    def __init__(self, *, database: Database, auditor: Auditor) -> None:
        self._database = database
        self._auditor = auditor

    async def look(self) -> int:
        """Audit every money truth; return how many do not hold."""
        findings = await self._auditor.run()
        if findings:
            async with self._database.transaction() as session:
                await post_findings(session, findings=findings)
        return len(findings)
