"""The README: written by the Architect, then believed only after its own commands ran in a clean copy."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.readmes import README, script_of
from bottega.agents.types import ReadmeRequest, UnusableReply
from bottega.llm.errors import Refused
from bottega.orchestration import evidence
from bottega.orchestration.events import ChecksNotExecuted, ReadmeCommitted, ReadmeWritten, RunStopped
from bottega.orchestration.state import Phase, RunState, StepKind, StopCode, TaskStatus
from bottega.orchestration.steps import workspace
from bottega.orchestration.steps.check import keep, told_failure
from bottega.orchestration.steps.commit import approved_at, landing, write_commit
from bottega.orchestration.steps.planning import architect
from bottega.orchestration.steps.types import Situation, StepResult, Workbench, Write
from bottega.orchestration.steps.unusable import ask_again_or_stop
from bottega.orchestration.tables import Step
from bottega.projects import service as projects
from bottega.projects.tree import tree_hash
from bottega.sandbox.judge import Check

READMES = 3
CHOICES = ("resume: let it write the README again", "download: take the project as it is")


async def write_readme(situation: Situation, bench: Workbench) -> StepResult:
    async with bench.database.reading() as session:
        request = await _request(session, situation)
    try:
        readme = await architect(situation, bench).write_readme(request=request, repair=situation.repair)
    except (UnusableReply, Refused) as error:
        return ask_again_or_stop(error, kind=StepKind.README, situation=situation)
    return StepResult(
        outcome="written",
        output={"files": {README: readme.text}, "commands": list(readme.commands)},
        events=(ReadmeWritten(commands=len(readme.commands)),),
    )


async def _request(session: AsyncSession, situation: Situation) -> ReadmeRequest:
    project = situation.project
    files = await projects.read_files(session, project_id=project.id)
    rows = await evidence.newest(session, run_id=situation.run.id, task_key=None)
    failed = [row for row in rows if not row.passed]
    commands = dict.fromkeys(
        command for task in situation.tasks if task.status != TaskStatus.DROPPED for command in task.commands
    )
    return ReadmeRequest(
        brief=situation.brief,
        title=project.title,
        documentation=project.documentation or "",
        tech_stack=project.tech_stack or {},
        tree=tuple(sorted(files)),
        context=workspace.entry_points(files),
        commands=tuple(commands),
        previous=await _previous(session, situation) if failed else "",
        results=evidence.as_results(failed),
        attempt=situation.attempt,
        session=situation.session,
    )


async def _previous(session: AsyncSession, situation: Situation) -> str:
    written = select(Step.output).where(
        Step.run_id == situation.run.id, Step.kind == StepKind.README, Step.outcome == "written"
    )
    output: dict[str, Any] = (await session.execute(written.order_by(Step.step_no.desc()).limit(1))).scalar_one()
    return str(output["files"][README])


async def check_readme(situation: Situation, bench: Workbench) -> StepResult:
    """Run the README's commands, in order, in one clean copy of the project."""
    async with bench.database.reading() as session:
        head = await projects.read_files(session, project_id=situation.project.id)
        output = await _last_output(session, situation)
    files = workspace.encoded(workspace.overlay(head, output["files"]))
    tree = tree_hash(files)
    script = script_of(output["commands"])
    checks = await bench.checks.check(files=files, commands=(script,), base_inventory=frozenset())
    failed = next((c for c in checks if c.result.executed and not c.passed), None)

    write = keep(checks, situation=situation, tree=tree)
    if failed:
        return _readme_failed(situation, failed, write=write)
    if all(c.passed for c in checks):
        return StepResult(outcome="passed", output={**output, "tree": tree}, write=write)
    told = ChecksNotExecuted(task_key=None, reason=checks[0].result.reason)
    return StepResult(outcome="not_executed", output={**output, "tree": tree}, write=write, events=(told,))


async def _last_output(session: AsyncSession, situation: Situation) -> dict[str, Any]:
    return await workspace.step_output(session, run_id=situation.run.id, step_no=situation.run.step_no - 1)


def _readme_failed(situation: Situation, check: Check, *, write: Write) -> StepResult:
    failed = told_failure(None, command="the README's commands", check=check)
    if situation.attempt % READMES:
        return StepResult(outcome="failed", write=write, events=(failed,))
    reason = f"The README's commands failed in a clean copy {READMES} times. The last time: {failed.reason}"
    stopped = RunStopped(stop_code=StopCode.README_FAILED, reason=reason, choices=CHOICES)
    return StepResult(
        outcome="failed",
        state=RunState.ATTENTION,
        stop_code=StopCode.README_FAILED,
        reason=reason,
        write=write,
        events=(failed, stopped),
    )


async def commit_readme(situation: Situation, bench: Workbench) -> StepResult:
    async with bench.database.reading() as session:
        head = await projects.read_files(session, project_id=situation.project.id)
        checked = await _last_output(session, situation)
        at = await approved_at(session, run_id=situation.run.id, before=situation.run.step_no)
    changes: dict[str, str | None] = checked["files"]
    files = workspace.overlay(head, changes)
    message = f"Write the README\n\nTree: {checked['tree']}\n"
    sha = await write_commit(situation, bench, files=files, message=message, at=at)

    last = situation.view.last
    executed = last is not None and last.outcome == "passed"
    return StepResult(
        outcome="committed",
        output={"commit": sha, "message": message, "at": at.isoformat(), "files": changes},
        phase=Phase.PACKAGE,
        write=await landing(situation, bench, sha=sha, changes=changes),
        events=(ReadmeCommitted(executed=executed),),
    )
