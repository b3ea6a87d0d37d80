"""One attempt of one Implementer at one task: context in, edits out, applied in memory to a tree of its own.

A refinement is first tried with the configured refiner, if there is one: of a rung's two attempts the first is its, the
second the Implementer's, so that neither's weakness leaves a task stuck. Whoever wrote it, what follows is the same.
"""

from dataclasses import dataclass, replace

from bottega.agents.edits import EditRefused, apply_edits
from bottega.agents.implementer import ImplementerAgent
from bottega.agents.refiner import Refiner
from bottega.agents.types import Assignment, CommandResult, ContextFile, UnusableReply
from bottega.llm.errors import Refused
from bottega.llm.types import ModelName
from bottega.orchestration import evidence, loops
from bottega.orchestration.events import ProposalRepeated, TaskImplemented
from bottega.orchestration.loops import Attempt
from bottega.orchestration.state import RunKind, StepKind
from bottega.orchestration.steps import workspace
from bottega.orchestration.steps.failing import failure, goes_in_circles
from bottega.orchestration.steps.types import Situation, StepResult, Workbench
from bottega.orchestration.steps.unusable import as_output, ask_again, forgiven, is_last_try
from bottega.orchestration.transitions import proposed
from bottega.projects.tree import tree_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class _Material:
    head: workspace.Files
    draft: workspace.Files  # the head with the last attempt's changes
    context: tuple[ContextFile, ...]
    results: tuple[CommandResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    files: dict[str, str]
    note: str = ""  # what a refiner said


def model_for(situation: Situation, bench: Workbench) -> ModelName:
    """Return the rung's model; while its provider is failing, the next rung's stands in."""
    rung = situation.task.rung + min(situation.run.failures, 1)
    return bench.implementer_models[min(rung, len(bench.implementer_models) - 1)]


async def implement(situation: Situation, bench: Workbench) -> StepResult:
    """Ask for edits and apply them in memory. Nothing is accepted here."""
    material = await _gather_material(situation, bench)
    model = model_for(situation, bench)
    refiner = refiner_for(situation, bench)
    try:
        if refiner:
            draft = await _refined(refiner, situation, material, model=model)
        else:
            draft = await _edited(situation, bench, material, model=model)
    except (UnusableReply, EditRefused) as error:
        return _unusable(error, situation, bench, model=model, is_last=refiner is not None)
    except Refused as error:
        said = f"The model declined: {error.message}"
        attempt = Attempt(model=str(model), substance=f"refused by {model}").failed(failure="refused", said=said)
        return failure(situation, bench, outcome="refused", feedback=said, attempt=attempt)
    return _proposal(situation, bench, material=material, draft=draft, model=model)


def _unusable(
    error: UnusableReply, situation: Situation, bench: Workbench, *, model: ModelName, is_last: bool
) -> StepResult:
    """Ask again, unless nothing better may be hoped for: then it is a failure like any other."""
    attempt = Attempt(model=str(model), substance=loops.of_reply(error.reply or error.complaint)).failed(
        failure=loops.signature(error.complaint), said=error.complaint
    )
    output = as_output(error) | attempt.as_output()
    if not is_last and not is_last_try(situation) and not goes_in_circles(situation, attempt):
        return replace(ask_again(error, kind=StepKind.IMPLEMENT, situation=situation), output=output)
    given_up = failure(
        situation, bench, outcome="failed", feedback=error.complaint, attempt=attempt, output=as_output(error)
    )
    return replace(given_up, forgiven=forgiven(situation))


def refiner_for(situation: Situation, bench: Workbench) -> Refiner | None:
    """Return the refiner that tries next, or None where it is the Implementer's turn."""
    is_its_turn = situation.view.kind is RunKind.REFINE and situation.task_view.rung_failures == 0
    return bench.refiner if is_its_turn and situation.repair is None else None


async def _refined(refiner: Refiner, situation: Situation, material: _Material, *, model: ModelName) -> _Draft:
    assignment = _assignment(situation, material)
    refined = await refiner.refine(assignment=assignment, files=material.draft, llm=situation.llm, model=model)
    return _Draft(files=dict(refined.files), note=refined.note)


async def _edited(situation: Situation, bench: Workbench, material: _Material, *, model: ModelName) -> _Draft:
    agent = ImplementerAgent(llm=situation.llm, model=model, prompts=bench.prompts)
    edits = await agent.implement(assignment=_assignment(situation, material), repair=situation.repair)
    applied = apply_edits(files=material.draft, edits=edits)
    return _Draft(files=workspace.overlay(material.draft, applied.files))


async def _gather_material(situation: Situation, bench: Workbench) -> _Material:
    task, project_id = situation.task, situation.project.id
    async with bench.database.reading() as session:
        review = await workspace.under_review(session, run_id=situation.run.id, task=task)
        tried = task.proposal_step is not None
        rows = await evidence.newest(session, run_id=situation.run.id, task_key=task.key) if tried else []
    draft = review.draft
    changed = [path for path, text in review.changes.items() if text is not None]
    context = await workspace.context_files(
        index=bench.index, project_id=project_id, task=task, files=draft, changed=changed
    )
    failed = [row for row in rows if row.tree_hash == task.proposal_tree_hash and row.executed and not row.passed]
    return _Material(head=review.head, draft=draft, context=context, results=evidence.as_results(failed))


def _assignment(situation: Situation, material: _Material) -> Assignment:
    task = situation.task
    remarks = "\n".join(f"- {remark}" for remark in situation.brief.remarks)
    documentation = situation.project.documentation or ""
    if remarks:
        documentation += f"\n\nWhat the person said since the plan was made:\n{remarks}"
    return Assignment(
        project_title=situation.project.title,
        documentation=documentation,
        task=workspace.planned(task),
        tree=workspace.outline(material.draft, shown=material.context),
        context=material.context,
        feedback=task.feedback or "",
        results=material.results,
        attempt=situation.attempt,
        session=situation.session,
    )


def _proposal(
    situation: Situation, bench: Workbench, *, material: _Material, draft: _Draft, model: ModelName
) -> StepResult:
    tree = tree_hash(workspace.encoded(draft.files))
    changes = workspace.difference(material.head, draft.files)
    attempt = Attempt(model=str(model), substance=loops.substance_of(changes), tree=tree)
    if before := loops.known_failure(situation.tried, tree=tree):
        return _repeated(situation, bench, attempt=attempt, before=before)
    task = situation.task
    implemented = TaskImplemented(
        task_key=task.key,
        title=task.title,
        attempt=situation.task_view.attempts + 1,
        model=str(model),
        files=tuple(sorted(workspace.difference(material.draft, draft.files))),
    )
    return StepResult(
        outcome="proposed",
        output={"files": changes, "note": draft.note} | attempt.as_output(),
        task=proposed(situation.task_view),
        proposal_tree_hash=tree,
        events=(implemented,),
    )


def _repeated(situation: Situation, bench: Workbench, *, attempt: Attempt, before: Attempt) -> StepResult:
    """Count a proposal that is known to fail: the evidence on its tree exists, so nothing is run or reviewed again."""
    told = ProposalRepeated(task_key=situation.task.key, model=attempt.model, said=before.said)
    same = attempt.tree == situation.task.proposal_tree_hash
    what = "left every file as it was" if same else "led back to files that had been tried before"
    return failure(
        situation,
        bench,
        outcome="repeated",
        feedback=f"The last reply {what}, and they fail: {before.said}. Change the code in another way.",
        attempt=attempt.failed(failure=before.failure or "", said=before.said),
        events=(told,),
    )
