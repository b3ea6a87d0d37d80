"""The audit that nobody need think of: the truths of money at intervals, loud where one does not hold.

It reads and mends nothing. What it found last is a metric of this process (`bottega_ledger_drift`), which says nothing
before the first audit.
"""

from dataclasses import dataclass

import structlog
from sqlalchemy import text

from bottega.billing.audit import Finding, audit
from bottega.db.transaction import Database
from bottega.telemetry import metrics

TOLD = 20  # findings with a line of their own; `bottega ledger check` lists them all
LONGEST_MS = 300_000  # of one truth's statement: an audit must not weigh on the server for ever

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditor:
    database: Database

    async def run(self) -> tuple[Finding, ...]:
        """Audit once, tell, and return what was found."""
        async with self.database.transaction() as session:
            at_seconds = (await session.execute(_BOUNDED, {"longest_ms": str(LONGEST_MS)})).one().at_seconds
            findings = await audit(session)
        metrics.ledger_audited(findings=len(findings), at_seconds=float(at_seconds))
        if findings:
            _log.error("billing.ledger.drift", findings=len(findings), see="bottega ledger check")
        for finding in findings[:TOLD]:
            _log.error(
                "billing.ledger.finding",
                truth=finding.truth,
                user_id=finding.user_id,
                subject=finding.subject,
                expected=finding.expected,
                actual=finding.actual,
            )
        return findings


_BOUNDED = text("SELECT extract(epoch FROM now()) AS at_seconds, set_config('statement_timeout', :longest_ms, true)")
