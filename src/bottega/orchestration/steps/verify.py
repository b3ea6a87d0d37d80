"""The Architect's review of a tree whose checks passed (or could not be executed). It may reject, never overrule."""

from dataclasses import dataclass

from bottega.agents.types import CommandResult, ContextFile, Review, UnusableReply, Verdict
from bottega.llm.errors import Refused
from bottega.orchestration import evidence, loops
from bottega.orchestration.events import TaskApproved, TaskRejected
from bottega.orchestration.state import StepKind
from bottega.orchestration.steps import workspace
from bottega.orchestration.steps.failing import failure, under_review
from bottega.orchestration.steps.planning import architect
from bottega.orchestration.steps.types import Situation, StepResult, Workbench
from bottega.orchestration.steps.unusable import ask_again_or_stop
from bottega.orchestration.transitions import approved
from bottega.projects.diff import diff
from bottega.sandbox.findings import stub_findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    head: workspace.Files
    draft: workspace.Files
    context: tuple[ContextFile, ...]
    results: tuple[CommandResult, ...]


async def verify(situation: Situation, bench: Workbench) -> StepResult:
    case = await _gather_case(situation, bench)
    try:
        verdict = await architect(situation, bench).verify(review=_review(situation, case), repair=situation.repair)
    except (UnusableReply, Refused) as error:
        return ask_again_or_stop(error, kind=StepKind.VERIFY, situation=situation)
    points = [{"criterion": c.criterion, "met": c.met, "reason": c.reason} for c in verdict.criteria]
    output: dict[str, object] = {"criteria": points, "tree": situation.task.proposal_tree_hash}
    if verdict.approved:
        told = TaskApproved(task_key=situation.task.key)
        return StepResult(outcome="approved", output=output, task=approved(situation.task_view), events=(told,))
    rejected = TaskRejected(task_key=situation.task.key, feedback=verdict.feedback)
    said = note(verdict=verdict)
    attempt = under_review(situation).failed(
        failure=loops.signature(said.casefold()), said=f"rejected: {verdict.feedback}"
    )
    return failure(
        situation, bench, outcome="rejected", feedback=said, attempt=attempt, events=(rejected,), output=output
    )


def note(*, verdict: Verdict) -> str:
    """Return what the Implementer is told: what to change, and which criteria are not met and why."""
    unmet = [f"- {point.criterion}: {point.reason}" for point in verdict.criteria if not point.met]
    return "\n".join([verdict.feedback, "", "Not met:", *unmet])


async def _gather_case(situation: Situation, bench: Workbench) -> _Case:
    task, project_id = situation.task, situation.project.id
    async with bench.database.reading() as session:
        review = await workspace.under_review(session, run_id=situation.run.id, task=task)
        rows = await evidence.newest(session, run_id=situation.run.id, task_key=task.key)
    context = await workspace.context_files(index=bench.index, project_id=project_id, task=task, files=review.head)
    unchanged = tuple(file for file in context if file.path not in review.changes)
    return _Case(head=review.head, draft=review.draft, context=unchanged, results=evidence.as_results(rows))


def _review(situation: Situation, case: _Case) -> Review:
    return Review(
        brief=situation.brief,
        documentation=situation.project.documentation or "",
        task=workspace.planned(situation.task),
        diff=diff(before=case.head, after=case.draft),
        context=case.context,
        results=case.results,
        findings=stub_findings(workspace.encoded(case.head), workspace.encoded(case.draft)),
        attempt=situation.attempt,
        session=situation.session,
    )
