"""The Implementer: one task in, edits out. One model call; the edits are read here and applied by whoever asked."""

from bottega.agents.edits import Edit, parse_edits
from bottega.agents.prompting import Prompts
from bottega.agents.rendering import DOCUMENTATION_BYTES, clip, clip_results, fit_context, tree_text
from bottega.agents.replies import output_room, usable_text
from bottega.agents.types import Assignment, Repair
from bottega.llm.types import LLM, CompletionRequest, Message, ModelName, Purpose

IMPLEMENT_OUTPUT_TOKENS = 16_000


class ImplementerAgent:
    def __init__(self, *, llm: LLM, model: ModelName, prompts: Prompts) -> None:
        self._llm = llm
        self._model = model
        self._prompts = prompts

    async def implement(self, *, assignment: Assignment, repair: Repair | None = None) -> tuple[Edit, ...]:
        """Return the edits that do the task, or raise UnusableReply (EditRefused where the edits cannot be read)."""
        completion = await self._llm.complete(
            CompletionRequest(
                model=self._model,
                system=self._prompts.system("implement"),
                messages=self._messages(assignment, repair),
                max_output_tokens=output_room(IMPLEMENT_OUTPUT_TOKENS, repair=repair),
                purpose=Purpose.IMPLEMENT,
                subject=assignment.task.key,
                attempt=assignment.attempt,
                session=assignment.session,
            )
        )
        return parse_edits(usable_text(completion))

    def _messages(self, assignment: Assignment, repair: Repair | None) -> tuple[Message, ...]:
        return self._prompts.messages(
            "implement",
            repair=repair,
            project_title=assignment.project_title,
            documentation=clip(assignment.documentation, limit_bytes=DOCUMENTATION_BYTES),
            task=assignment.task,
            tree=tree_text(assignment.tree),
            context=fit_context(assignment.context, first=assignment.task.files),
            feedback=assignment.feedback,
            results=clip_results(assignment.results),
        )
