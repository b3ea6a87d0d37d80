"""What is said of projects until they are built: the list, questions, plans, and what a person did about them."""

from collections.abc import Sequence
from decimal import Decimal

from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.types import Keyboard, Say
from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.markup import Html, joined
from bottega.entrypoints.telegram.words.values import (
    ListedProject,
    ListedTask,
    Named,
    OpenQuestion,
    ShownPlan,
    shown_order,
)
from bottega.entrypoints.telegram.words.voice import Voice, in_rows, one_of
from bottega.orchestration.state import TaskStatus

ON_A_PAGE = 6
TASKS, PARTS_OF_THE_STACK, OPTIONS = 15, 6, 8
_QUESTION, _DOCUMENTATION = 900, 900
_MARKS = {TaskStatus.TODO: "▫️", TaskStatus.DONE: "✅", TaskStatus.UNCHECKED: "☑️", TaskStatus.DROPPED: "➖"}


def task_row(task: ListedTask) -> Html:
    return Html(f"{_MARKS[task.status]} {markup.line(task.key, limit=8)} {markup.line(task.title, limit=80)}")


class ProjectWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def none(self) -> Say:
        """Answer a command that needs a project where there is none."""
        return self._voice.say("no-project", in_rows([self._voice.button("button-new", buttons.NewProject())]))

    def overview(self, projects: Sequence[ListedProject], *, page: int = 0) -> Say:
        """Return a page of the person's projects, each with a button; a page that is not there is the last."""
        if not projects:
            return self.none()
        last = (len(projects) - 1) // ON_A_PAGE
        page = max(0, min(page, last))
        shown = projects[page * ON_A_PAGE : (page + 1) * ON_A_PAGE]
        head = self._voice.html("projects", count=len(projects))
        rows = [self._listed(project) for project in shown]
        return Say(html=joined(head, *rows, between="\n\n"), keyboard=self._list_keyboard(shown, page=page, last=last))

    def _listed(self, project: ListedProject) -> Html:
        message = "projects-current" if project.is_current else "projects-row"
        status = self._voice.html(one_of("project", project.status))
        title = self._voice.title(project)
        return self._voice.html(message, title=title, status=status, credits=project.credits_charged)

    def _list_keyboard(self, shown: Sequence[ListedProject], *, page: int, last: int) -> Keyboard:
        opened = (
            self._voice.button("button-project", buttons.OpenProject(project_id=one.project_id), title=one.title)
            for one in shown
        )
        turned = [
            self._voice.button("button-newer", buttons.ShowProjects(page=page - 1)) if page else None,
            self._voice.button("button-older", buttons.ShowProjects(page=page + 1)) if page < last else None,
        ]
        new = self._voice.button("button-new", buttons.NewProject())
        return (*in_rows(opened, width=1), *in_rows(turned), (new,))

    def opened(self, project: Named) -> Say:
        """Say that the chat speaks of this project from now on."""
        return self._voice.say("project-opened", title=self._voice.title(project))

    def question(self, question: OpenQuestion) -> Say:
        """Ask one question; its options are buttons, the recommended one first."""
        order = shown_order(question)[:OPTIONS]
        rows = [
            self._voice.html("question-recommended" if place == 1 else "question-option", number=place, option=option)
            for place, option in ((place, question.options[index]) for place, index in enumerate(order, start=1))
        ]
        head = self._voice.html("question", number=question.number, total=question.total)
        text = markup.bold(markup.block(question.text, limit=_QUESTION))
        hint = self._voice.html("question-hint" if rows else "question-hint-without-options")
        html = joined(head, text, joined(*rows), hint, between="\n\n")
        return Say(html=html, keyboard=self._question_keyboard(question, order))

    def _question_keyboard(self, question: OpenQuestion, order: tuple[int, ...]) -> Keyboard:
        pressed = [
            self._voice.button(
                "button-recommended" if place == 1 else "button-option",
                buttons.AnswerOption(question_id=question.question_id, index=index),
                number=place,
                option=question.options[index],
            )
            for place, index in enumerate(order, start=1)
        ]
        left_to_us = [
            self._voice.button("button-decide", buttons.DecideForMe(question_id=question.question_id)),
            self._voice.button("button-decide-all", buttons.DecideAllForMe(project_id=question.project_id))
            if question.number < question.total
            else None,
        ]
        return (*in_rows(pressed, width=1), *in_rows(left_to_us, width=1))

    def answered(self, *, question: str, answer: str) -> Say:
        """Return what a question's message becomes once it is answered."""
        text = markup.block(question, limit=_QUESTION)
        return self._voice.say("answered", question=text, answer=markup.line(answer, limit=400))

    def plan(self, plan: ShownPlan) -> Say:
        """Show a plan and its price, and ask for the go."""
        html = joined(
            self._voice.html("plan", title=self._voice.title(plan)),
            self._documentation(plan),
            self._stack(plan),
            self._tasks(plan.tasks),
            self._price(plan),
            between="\n\n",
        )
        return Say(html=html, keyboard=self._plan_keyboard(plan))

    def _documentation(self, plan: ShownPlan) -> Html | None:
        """Return what the plan says of itself, without its title, which stands above."""
        rows = [row for row in _without_marks(plan.documentation).splitlines() if row.strip()]
        if rows and rows[0].strip().casefold() == plan.title.strip().casefold():
            rows = rows[1:]
        return markup.block("\n".join(rows), limit=_DOCUMENTATION) if rows else None

    def _stack(self, plan: ShownPlan) -> Html | None:
        if not plan.tech_stack:
            return None
        parts = [
            self._voice.html("plan-part", part=markup.line(part, limit=40), choice=markup.line(choice, limit=80))
            for part, choice in list(plan.tech_stack.items())[:PARTS_OF_THE_STACK]
        ]
        return joined(self._voice.html("plan-stack"), *parts)

    def _tasks(self, tasks: Sequence[ListedTask]) -> Html:
        rows = self._voice.some(map(task_row, tasks), most=TASKS)
        return joined(self._voice.html("plan-tasks", count=len(tasks)), rows)

    def _price(self, plan: ShownPlan) -> Html:
        if plan.low is None or plan.high is None:
            return self._voice.html("plan-price-unknown", credits=plan.available)
        price = self._voice.html("plan-price", low=plan.low, high=plan.high, credits=plan.available)
        if plan.available >= plan.high:
            return joined(price, self._voice.html("plan-price-enough"))
        return joined(price, self._voice.html("plan-price-short" if plan.available < plan.low else "plan-price-tight"))

    def _plan_keyboard(self, plan: ShownPlan) -> Keyboard:
        is_short = plan.high is not None and plan.available < plan.high
        return in_rows(
            [
                self._voice.button("button-build", buttons.Approve(project_id=plan.project_id)),
                self._voice.button("button-change-plan", buttons.ChangePlan(project_id=plan.project_id)),
                self._voice.button("button-top-up", buttons.ShowPackages()) if is_short else None,
                self._voice.button("button-cancel", buttons.Cancel(project_id=plan.project_id)),
            ]
        )

    def going(self, project: Named) -> Say:
        """Confirm a go; what follows is told by the status message."""
        return self._voice.say("going", title=self._voice.title(project))

    def change_plan_asked(self, project: Named) -> Say:
        """Ask what to change about the plan."""
        return self._voice.say("change-plan-asked", self._never_mind(), title=self._voice.title(project))

    def plan_changing(self, project: Named) -> Say:
        return self._voice.say("plan-changing", title=self._voice.title(project))

    def explain_asked(self, project: Named) -> Say:
        """Ask what whoever works on the task should know."""
        return self._voice.say("explain-asked", self._never_mind(), title=self._voice.title(project))

    def remark_noted(self, project: Named, *, goes_on: bool) -> Say:
        """Confirm a remark. `goes_on`: the project had stopped, and goes on with it."""
        message = "remark-goes-on" if goes_on else "remark-noted"
        return self._voice.say(message, title=self._voice.title(project))

    def limit_asked(self, project: Named, *, limit: Decimal | None, charged: Decimal) -> Say:
        """Ask what the project may cost, all in all."""
        message = "limit-asked" if limit is None else "limit-asked-again"
        arguments = {} if limit is None else {"limit": limit}
        title = self._voice.title(project)
        return self._voice.say(message, self._never_mind(), title=title, credits=charged, **arguments)

    def limit_unclear(self, project: Named) -> Say:
        """Say that what was written is no amount, and ask again."""
        return self._voice.say("limit-unclear", self._never_mind(), title=self._voice.title(project))

    def limited(self, project: Named, *, limit: Decimal | None) -> Say:
        """Confirm a project's limit, or that it has none any more."""
        if limit is None:
            return self._voice.say("limit-lifted", title=self._voice.title(project))
        return self._voice.say("limit-set", title=self._voice.title(project), limit=limit)

    def cancel_asked(self, project: Named, *, charged: Decimal, is_refinement: bool) -> Say:
        """Ask whether to stop for good."""
        keyboard = in_rows(
            [
                self._voice.button("button-cancel-for-good", buttons.CancelForGood(project_id=project.project_id)),
                self._voice.button("button-keep-going", buttons.NeverMind()),
            ]
        )
        message = "cancel-refinement-asked" if is_refinement else "cancel-asked"
        return self._voice.say(message, keyboard, title=self._voice.title(project), credits=charged)

    def cancelled(self, project: Named, *, is_refinement: bool, has_files: bool) -> Say:
        """Say that it is stopped for good, and what is left of it."""
        download = self._voice.button("button-download", buttons.Download(project_id=project.project_id))
        new = self._voice.button("button-new", buttons.NewProject())
        message = "cancelled-refinement" if is_refinement else "cancelled" if has_files else "cancelled-empty"
        keyboard = in_rows([download if has_files or is_refinement else None, new])
        return self._voice.say(message, keyboard, title=self._voice.title(project))

    def going_on(self, project: Named) -> Say:
        return self._voice.say("going-on", title=self._voice.title(project))

    def _never_mind(self) -> Keyboard:
        return in_rows([self._voice.button("button-never-mind", buttons.NeverMind())])


def _without_marks(markdown: str) -> str:
    """Return markdown as a chat reads it: headings and bold are words."""
    return "\n".join(row.lstrip("# ").replace("**", "") for row in markdown.splitlines())
