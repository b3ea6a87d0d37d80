"""The JSON the Architect is asked for. Fields stand in the order they should be thought: reasons before verdicts."""

from typing import Literal

from pydantic import BaseModel

from bottega.agents.replies import Line, Prose


class QuestionForm(BaseModel):
    text: Line
    options: list[Line]


class GatherForm(BaseModel):
    reasoning: Prose
    title: Line
    questions: list[QuestionForm]


class StackForm(BaseModel):
    part: Line
    choice: Line


class TaskForm(BaseModel):
    key: Line
    title: Line
    description: Line
    files: list[Line]
    depends_on: list[Line]
    commands: list[Line]
    criteria: list[Line]
    size: Literal["small", "medium", "large"]


class PlanForm(BaseModel):
    title: Line
    documentation: Line
    tech_stack: list[StackForm]
    tasks: list[TaskForm]


class CriterionForm(BaseModel):
    number: int
    reason: Line
    met: bool


class VerdictForm(BaseModel):
    criteria: list[CriterionForm]
    feedback: Prose
