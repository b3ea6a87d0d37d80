"""The Architect: asks, plans, judges and writes the README. Words in, typed values out.

Every method makes exactly one model call and returns a validated value, or raises UnusableReply with a complaint to
send back in a Repair. An approval is computed here from the criteria, never taken from the model's word.
"""

from dataclasses import replace

from bottega.agents.forms import GatherForm, PlanForm, VerdictForm
from bottega.agents.planning import in_order, plan_faults
from bottega.agents.prompting import Prompts
from bottega.agents.readmes import read_readme
from bottega.agents.rendering import DIFF_BYTES, DOCUMENTATION_BYTES, clip, clip_results, fit_context, tree_text
from bottega.agents.replies import Reply, output_room, read_json, schema_of, usable_text
from bottega.agents.types import (
    AskedQuestion,
    Brief,
    CriterionVerdict,
    Gathered,
    Plan,
    PlannedTask,
    Readme,
    ReadmeRequest,
    Repair,
    Review,
    UnusableReply,
    Verdict,
)
from bottega.llm.types import LLM, CompletionRequest, Message, ModelName, Purpose
from bottega.projects.paths import safe_path

GATHER_OUTPUT_TOKENS = 6_000
PLAN_OUTPUT_TOKENS = 12_000
VERIFY_OUTPUT_TOKENS = 6_000
README_OUTPUT_TOKENS = 8_000
_MAX_QUESTIONS, _MIN_OPTIONS, _MAX_OPTIONS, _MAX_TITLE_CHARACTERS = 5, 2, 5, 200


class ArchitectAgent:
    def __init__(self, *, llm: LLM, model: ModelName, prompts: Prompts) -> None:
        self._llm = llm
        self._model = model
        self._prompts = prompts

    async def gather(self, *, brief: Brief, session: str, attempt: int, repair: Repair | None = None) -> Gathered:
        """Return none to five questions, each with its recommended option first."""
        request = CompletionRequest(
            model=self._model,
            system=self._prompts.system("gather"),
            messages=self._prompts.messages("gather", repair=repair, brief=brief),
            max_output_tokens=output_room(GATHER_OUTPUT_TOKENS, repair=repair),
            purpose=Purpose.GATHER,
            attempt=attempt,
            schema=schema_of(GatherForm),
            session=session,
        )
        form, text = await self._ask_for(GatherForm, request)
        return Gathered(title=form.title[:_MAX_TITLE_CHARACTERS], questions=_questions(form, text))

    async def plan(
        self, *, brief: Brief, session: str, attempt: int, previous: Plan | None = None, repair: Repair | None = None
    ) -> Plan:
        """Plan the software; `previous` is the plan the person wants changed."""
        request = CompletionRequest(
            model=self._model,
            system=self._prompts.system("plan"),
            messages=self._prompts.messages("plan", repair=repair, brief=brief, previous=previous),
            max_output_tokens=output_room(PLAN_OUTPUT_TOKENS, repair=repair),
            purpose=Purpose.PLAN,
            attempt=attempt,
            schema=schema_of(PlanForm),
            session=session,
        )
        form, text = await self._ask_for(PlanForm, request)
        return _sound_plan(form, text)

    async def verify(self, *, review: Review, repair: Repair | None = None) -> Verdict:
        """Judge one attempt by each of its task's criteria."""
        request = CompletionRequest(
            model=self._model,
            system=self._prompts.system("verify"),
            messages=self._verify_messages(review, repair),
            max_output_tokens=output_room(VERIFY_OUTPUT_TOKENS, repair=repair),
            purpose=Purpose.VERIFY,
            subject=review.task.key,
            attempt=review.attempt,
            schema=schema_of(VerdictForm),
            session=review.session,
        )
        form, text = await self._ask_for(VerdictForm, request)
        return _verdict(form, review.task.criteria, text)

    async def write_readme(self, *, request: ReadmeRequest, repair: Repair | None = None) -> Readme:
        completion = await self._llm.complete(
            CompletionRequest(
                model=self._model,
                system=self._prompts.system("readme"),
                messages=self._readme_messages(request, repair),
                max_output_tokens=output_room(README_OUTPUT_TOKENS, repair=repair),
                purpose=Purpose.README,
                attempt=request.attempt,
                session=request.session,
            )
        )
        return read_readme(usable_text(completion))

    async def _ask_for(self, form: type[Reply], request: CompletionRequest) -> tuple[Reply, str]:
        text = usable_text(await self._llm.complete(request))
        return read_json(text, form), text

    def _verify_messages(self, review: Review, repair: Repair | None) -> tuple[Message, ...]:
        return self._prompts.messages(
            "verify",
            repair=repair,
            brief=review.brief,
            documentation=clip(review.documentation, limit_bytes=DOCUMENTATION_BYTES),
            task=review.task,
            diff=clip(review.diff, limit_bytes=DIFF_BYTES),
            context=fit_context(review.context, first=review.task.files),
            results=clip_results(review.results),
            findings=review.findings,
        )

    def _readme_messages(self, request: ReadmeRequest, repair: Repair | None) -> tuple[Message, ...]:
        return self._prompts.messages(
            "readme",
            repair=repair,
            brief=request.brief,
            title=request.title,
            documentation=clip(request.documentation, limit_bytes=DOCUMENTATION_BYTES),
            stack=[f"{part}: {choice}" for part, choice in request.tech_stack.items()],
            tree=tree_text(request.tree),
            context=fit_context(request.context),
            commands=request.commands,
            previous=clip(request.previous, limit_bytes=DOCUMENTATION_BYTES),
            results=clip_results(request.results),
        )


def _questions(form: GatherForm, reply: str) -> tuple[AskedQuestion, ...]:
    questions = []
    for asked in form.questions[:_MAX_QUESTIONS]:
        options = tuple(dict.fromkeys(asked.options))[:_MAX_OPTIONS]
        if len(options) < _MIN_OPTIONS:
            raise UnusableReply(f"The question {asked.text!r} needs two to five different options.", reply=reply)
        questions.append(AskedQuestion(text=asked.text, options=options, recommended=0))
    return tuple(questions)


def _sound_plan(form: PlanForm, reply: str) -> Plan:
    plan = Plan(
        title=form.title[:_MAX_TITLE_CHARACTERS],
        documentation=form.documentation,
        tech_stack={piece.part: piece.choice for piece in form.tech_stack},
        tasks=tuple(
            PlannedTask(
                key=task.key,
                title=task.title[:_MAX_TITLE_CHARACTERS],
                description=task.description,
                files=tuple(dict.fromkeys(task.files)),
                depends_on=tuple(dict.fromkeys(task.depends_on)),
                commands=tuple(dict.fromkeys(task.commands)),
                criteria=tuple(task.criteria),
                size=task.size,
            )
            for task in form.tasks
        ),
    )
    if faults := plan_faults(plan):
        raise UnusableReply("The plan cannot be carried out:\n" + "\n".join(f"- {f}" for f in faults), reply=reply)
    tasks = (replace(task, files=tuple(safe_path(path) for path in task.files)) for task in plan.tasks)
    return replace(plan, tasks=in_order(tuple(tasks)))


def _verdict(form: VerdictForm, criteria: tuple[str, ...], reply: str) -> Verdict:
    numbers = sorted(judged.number for judged in form.criteria)
    if numbers != list(range(1, len(criteria) + 1)):
        raise UnusableReply(
            f"Judge each of the criteria 1 to {len(criteria)} exactly once; you judged {numbers or 'none'}.",
            reply=reply,
        )
    judged = {entry.number: entry for entry in form.criteria}
    verdicts = tuple(
        CriterionVerdict(criterion=text, met=judged[number].met, reason=judged[number].reason)
        for number, text in enumerate(criteria, start=1)
    )
    approved = all(verdict.met for verdict in verdicts)
    if not approved and not form.feedback:
        raise UnusableReply("A criterion is not met but `feedback` does not say what to change.", reply=reply)
    return Verdict(approved=approved, criteria=verdicts, feedback="" if approved else form.feedback)
