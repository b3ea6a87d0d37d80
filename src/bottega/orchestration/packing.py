"""What goes into a project's archive, at any time: the accepted tree, its history, its evidence and its receipt."""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.receipt import NotCharged, Receipt, receipt
from bottega.delivery.archive import build_archive, slug
from bottega.delivery.report import Check, Quote, ReceiptLine, render_receipt, render_tests
from bottega.orchestration import history
from bottega.orchestration.history import Commit
from bottega.orchestration.state import TaskStatus
from bottega.orchestration.tables import Evidence, Run, Task
from bottega.projects import service as projects
from bottega.projects.repository import ProjectRepository
from bottega.projects.tables import Project
from bottega.projects.tree import tree_hash

_PURPOSES = {
    "gather": "Reading the brief",
    "plan": "Planning",
    "readme": "README",
    "implement": "writing",
    "verify": "review",
    "relay": "Your own tools",
}

_CAUSES = {
    NotCharged.PROVIDER: "failed at the provider",
    NotCharged.REFUSED: "refused by the model",
    NotCharged.UNUSABLE: "answered with an unusable reply, again",
    NotCharged.CUT_SHORT: "cut short for want of credits",
    NotCharged.STOPPED: "stopped under way",
    NotCharged.OURS: "lost on our side",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    name: str
    files: Mapping[str, bytes]
    todo_md: str
    tests_md: str
    receipt_md: str
    receipt: Receipt
    commits: tuple[Commit, ...]


async def collect(session: AsyncSession, *, project_id: uuid.UUID, credit_value_usd: Decimal) -> Contents:
    """Read everything an archive holds."""
    project = await session.get_one(Project, project_id)
    files = {p: t.encode() for p, t in (await projects.read_files(session, project_id=project_id)).items()}
    tasks = (await session.scalars(select(Task).where(Task.project_id == project_id).order_by(Task.ordinal))).all()
    spent = await receipt(session, project_id=project_id)
    dropped = {task.key for task in tasks if task.status == TaskStatus.DROPPED}
    checks = [c for c in await _newest_checks(session, project_id=project_id) if c.task_key not in dropped]
    titles = {task.key: task.title for task in tasks}
    return Contents(
        name=slug(project.title),
        files=files,
        todo_md=project.current_todo_markdown or "",
        tests_md=render_tests(title=project.title, delivered_tree=tree_hash(files), checks=checks),
        receipt_md=render_receipt(
            title=project.title,
            lines=receipt_lines(spent, titles=titles),
            quote=_quote(project),
            credit_value_usd=credit_value_usd,
        ),
        receipt=spent,
        commits=await history.commits(session, project_id=project_id),
    )


def unfinished_key(project_id: uuid.UUID) -> str:
    """Return where the newest archive of an unfinished project is kept for who asked for it."""
    return f"archives/{project_id}/unfinished.zip"


def pack(contents: Contents, repository: ProjectRepository) -> bytes:
    """Return the archive; the repository is rebuilt first where it lags behind the journal."""
    bundle = b""
    if contents.commits:
        history.rebuild(repository, contents.commits)
        bundle = repository.bundle()
    return build_archive(
        name=contents.name,
        files=contents.files,
        todo_md=contents.todo_md,
        tests_md=contents.tests_md,
        receipt_md=contents.receipt_md,
        bundle=bundle,
    )


def receipt_lines(spent: Receipt, *, titles: Mapping[str, str]) -> tuple[ReceiptLine, ...]:
    """Return one line for each task and for each part that belongs to none, in the order the work began."""
    parts: dict[tuple[str | None, str], list[ReceiptLine]] = {}
    for line in spent.lines:
        key = (line.task_key, "" if line.task_key else line.purpose)
        title = titles.get(line.task_key, "") if line.task_key else _PURPOSES.get(line.purpose, line.purpose)
        part = ReceiptLine(
            title=title,
            task_key=line.task_key,
            calls=line.calls + line.failed_calls,
            calls_not_charged=line.failed_calls,
            input_tokens=line.input_tokens,
            output_tokens=line.output_tokens,
            credits=line.credits,
            causes={_CAUSES[cause]: calls for cause, calls in line.not_charged.items()},
            own_key_calls=line.own_key_calls,
            unbilled=line.credits_unbilled,
        )
        parts.setdefault(key, []).append(part)
    return tuple(_sum(lines) for lines in parts.values())


def _sum(lines: list[ReceiptLine]) -> ReceiptLine:
    first = lines[0]
    return ReceiptLine(
        title=first.title,
        task_key=first.task_key,
        calls=sum(line.calls for line in lines),
        calls_not_charged=sum(line.calls_not_charged for line in lines),
        input_tokens=sum(line.input_tokens for line in lines),
        output_tokens=sum(line.output_tokens for line in lines),
        credits=sum((line.credits for line in lines), Decimal(0)),
        causes=sum((Counter(line.causes) for line in lines), Counter()),
        own_key_calls=sum(line.own_key_calls for line in lines),
        unbilled=sum((line.unbilled for line in lines), Decimal(0)),
    )


def _quote(project: Project) -> Quote | None:
    if project.quote_low_credits is None or project.estimated_credit_cost is None:
        return None
    return Quote(low=project.quote_low_credits, high=project.estimated_credit_cost)


async def _newest_checks(session: AsyncSession, *, project_id: uuid.UUID) -> tuple[Check, ...]:
    """Return, for every task and the README, the checks of its last round."""
    statement = (
        select(Evidence)
        .join(Run, Run.id == Evidence.run_id)
        .where(Evidence.project_id == project_id)
        .order_by(Run.created_at, Evidence.step_no, Evidence.ordinal)
    )
    rounds: dict[str | None, list[Evidence]] = {}
    for row in (await session.scalars(statement)).all():
        last = rounds.setdefault(row.task_key, [])
        if last and (last[0].run_id, last[0].step_no) != (row.run_id, row.step_no):
            last.clear()
        last.append(row)
    return tuple(_check(row) for rows in rounds.values() for row in rows)


def _check(row: Evidence) -> Check:
    return Check(
        task_key=row.task_key,
        command=row.command,
        executed=row.executed,
        passed=row.passed,
        exit_code=row.exit_code,
        tests_run=row.tests_run,
        tests_skipped=row.tests_skipped,
        tree_hash=row.tree_hash,
        isolation=row.isolation,
        reason=row.reason or "",
    )
