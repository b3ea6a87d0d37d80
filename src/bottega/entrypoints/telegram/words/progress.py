"""The one message that shows where a project stands, edited in place; its details; and an event as a line."""

from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.types import Button, Keyboard, Say
from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.markup import Html, joined
from bottega.entrypoints.telegram.words.projects import task_row
from bottega.entrypoints.telegram.words.values import Named, Progress
from bottega.entrypoints.telegram.words.voice import Voice, in_rows, one_of
from bottega.orchestration import events
from bottega.orchestration.events import Event, StepStarted
from bottega.orchestration.state import Phase, RunKind, RunState, StepKind, TaskStatus

TASKS = 20
_LINE = 160


class ProgressWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def status(self, progress: Progress) -> Say:
        """Return the status message. The same progress gives the same text, so that nothing is edited for nothing."""
        html = joined(
            self._voice.title(progress),
            self._standing(progress),
            self._bar(progress),
            self._under_way(progress),
            self._latest(progress),
            self._figures(progress),
        )
        return Say(html=html, keyboard=self._keyboard(progress))

    def details(self, progress: Progress) -> Say:
        """Return every task and what it has come to."""
        tasks = self._voice.some(map(task_row, progress.tasks), most=TASKS) if progress.tasks else None
        html = joined(
            joined(self._voice.title(progress), self._standing(progress)),
            tasks or self._voice.html("details-no-tasks"),
            self._legend(progress),
            joined(self._under_way(progress), self._latest(progress), self._figures(progress)),
            between="\n\n",
        )
        back = self._voice.button("button-status", buttons.ShowStatus(project_id=progress.project_id))
        receipt = self._voice.button("button-receipt", buttons.ShowReceipt(project_id=progress.project_id))
        return Say(html=html, keyboard=in_rows([back, receipt]))

    def begun(self, project: Named) -> Say:
        """Return the first status message, before anything is known: the brief is being read."""
        html = joined(self._voice.title(project), self._voice.html("phase-gather"), self._voice.html("status-begun"))
        return Say(html=html, keyboard=self._working(project))

    def latest(self, event: Event) -> Html | None:
        """Return an event as one line, None for those that only move the bar."""
        match event:
            case events.TaskImplemented():
                return self._line("latest-implemented", task=event.task_key, files=len(event.files))
            case events.ReplyUnusable():
                return self._line("latest-unusable")
            case events.ProposalRepeated():
                return self._line("latest-repeated", task=event.task_key)
            case events.ModelEscalated():
                return self._line("latest-escalated", task=event.task_key, model=model_name(event.model))
            case events.ChecksPassed() | events.ChecksFailed() | events.ChecksNotExecuted():
                return self._checks(event)
            case events.TaskApproved():
                return self._line("latest-approved", task=event.task_key)
            case events.TaskRejected():
                return self._line("latest-rejected", task=event.task_key, feedback=event.feedback)
            case events.TaskDone():
                message = "latest-done" if event.executed else "latest-unchecked"
                return self._line(message, task=event.task_key, title=event.title, credits=event.credits_charged)
            case _:
                return self._around(event)

    def _checks(self, event: events.ChecksPassed | events.ChecksFailed | events.ChecksNotExecuted) -> Html:
        task = event.task_key or "README"
        match event:
            case events.ChecksPassed():
                return self._line("latest-passed", task=task, checks=event.commands, tests=event.tests)
            case events.ChecksFailed():
                return self._line("latest-failed", task=task, reason=event.reason)
            case events.ChecksNotExecuted():
                return self._line("latest-not-executed", task=task, reason=event.reason)

    def _around(self, event: Event) -> Html | None:
        match event:
            case events.RequirementsClear():
                return self._line("latest-clear")
            case events.QuestionsAsked():
                return self._line("latest-asked", count=event.count)
            case events.PlanReady():
                return self._line("latest-planned", tasks=len(event.tasks))
            case events.PlanApproved():
                return self._line("latest-go")
            case events.TasksDropped():
                return self._line("latest-dropped", tasks=", ".join(event.tasks))
            case events.ReadmeWritten():
                return self._line("latest-readme-written")
            case events.ReadmeCommitted():
                return self._line("latest-readme" if event.executed else "latest-readme-unchecked")
            case events.ProviderTrouble():
                return self._trouble(event)
            case _:
                return self._company(event)

    def _trouble(self, event: events.ProviderTrouble) -> Html:
        if event.next_model:
            return self._line("latest-provider-next", model=model_name(event.next_model))
        return self._line("latest-provider", wait=self._voice.duration(event.retry_seconds))

    def _company(self, event: Event) -> Html | None:
        match event:
            case events.InLine():
                return self._line("latest-in-line", count=event.at_once)
            case events.RefinementStarted():
                return self._line("latest-refines", path=event.path)
            case events.RunResumed():
                return self._line("latest-resumed")
            case events.Delivered():
                return self._line("latest-delivered", files=event.files)
            case _:
                return None

    def _line(self, message: str, **arguments: str | int) -> Html:
        return self._voice.html(message, **arguments)

    def _standing(self, progress: Progress) -> Html:
        """Return what is being done, or why nothing is."""
        if progress.state is RunState.WAITING:
            return self._voice.html("state-waiting-go" if progress.phase is Phase.APPROVE else "state-waiting")
        if progress.state is not RunState.READY:
            return self._voice.html(one_of("state", progress.state))
        phase = self._voice.html(one_of("phase", progress.phase))
        if progress.phase is not Phase.IMPLEMENT or not progress.tasks:
            return phase
        finished = sum(task.status is not TaskStatus.TODO for task in progress.tasks)
        steps = self._voice.html("status-tasks", done=finished, total=len(progress.tasks))
        return joined(phase, steps, between=" · ")

    def _bar(self, progress: Progress) -> Html | None:
        if progress.state in {RunState.CANCELLED, RunState.FAILED}:
            return None
        percent = percent_done(progress)
        return Html(f"{markup.bar(done=percent, total=100)} {percent}%")

    def _under_way(self, progress: Progress) -> Html | None:
        """Return the step under way: for which task, by which model, at which try."""
        step = progress.step
        if step is None or progress.state is not RunState.READY:
            return None
        doing = self._voice.html(one_of("doing", step.kind)) if step.kind in _KINDS else None
        if doing is None:
            return None
        head = self._voice.html("status-doing", doing=doing)
        if step.task_key:
            title = markup.line(step.title, limit=80)
            head = self._voice.html("status-task", task=step.task_key, title=title, doing=doing)
        return joined(head, self._who(step))

    def _who(self, step: StepStarted) -> Html | None:
        if step.model is None:
            return None
        model = markup.code(model_name(step.model), limit=60)
        if step.kind == StepKind.IMPLEMENT:
            return self._voice.html("status-attempt", attempt=step.attempt, model=model)
        return self._voice.html("status-model", model=model)

    def _latest(self, progress: Progress) -> Html | None:
        if progress.latest is None or progress.state.is_final:
            return None
        said = self.latest(progress.latest)
        return None if said is None else self._voice.html("status-latest", event=said)

    def _figures(self, progress: Progress) -> Html:
        spent = self._voice.html("status-spent", credits=progress.credits_charged)
        if progress.quote_high is not None:
            spent = self._voice.html("status-spent-of", credits=progress.credits_charged, quote=progress.quote_high)
        checks = self._voice.html("status-checks", count=progress.checks_passed) if progress.checks_passed else None
        took = self._voice.html("status-elapsed", time=self._voice.duration(progress.elapsed_seconds))
        return joined(checks, spent, took, between=" · ")

    def _legend(self, progress: Progress) -> Html | None:
        statuses = {task.status for task in progress.tasks}
        return joined(
            self._voice.html("details-unchecked") if TaskStatus.UNCHECKED in statuses else None,
            self._voice.html("details-dropped") if TaskStatus.DROPPED in statuses else None,
        )

    def _keyboard(self, progress: Progress) -> Keyboard:
        key = progress.project_id
        match progress.state:
            case RunState.READY:
                return self._working(progress)
            case RunState.DONE:
                download = self._voice.button("button-download", buttons.Download(project_id=key))
                receipt = self._voice.button("button-receipt", buttons.ShowReceipt(project_id=key))
                change = self._voice.button("button-change-it", buttons.ChangeIt(project_id=key, page=0))
                return in_rows([download, receipt, change])
            case RunState.CANCELLED | RunState.FAILED:
                return in_rows([self._voice.button("button-new", buttons.NewProject()), self._details(progress)])
            case RunState.WAITING:
                return in_rows([self._stop(progress), self._details(progress)])
            case _:
                top_up = self._voice.button("button-top-up", buttons.ShowPackages())
                go_on = self._voice.button("button-resume", buttons.Resume(project_id=key))
                first = top_up if progress.state is RunState.CREDITS else None
                return in_rows([first, go_on, self._stop(progress), self._details(progress)])

    def _working(self, project: Named) -> Keyboard:
        pause = self._voice.button("button-pause", buttons.Pause(project_id=project.project_id))
        return in_rows([pause, self._stop(project), self._details(project)])

    def _stop(self, project: Named) -> Button:
        return self._voice.button("button-stop", buttons.Cancel(project_id=project.project_id))

    def _details(self, project: Named) -> Button:
        return self._voice.button("button-details", buttons.ShowDetails(project_id=project.project_id))


_KINDS = frozenset(StepKind)
_REACHED = {  # percent, when a phase begins
    Phase.GATHER: 0,
    Phase.PLAN: 3,
    Phase.APPROVE: 5,
    Phase.IMPLEMENT: 5,
    Phase.README: 92,
    Phase.PACKAGE: 97,
    Phase.FINISHED: 99,
}


def model_name(model: str) -> str:
    """Return a model's own name, without who provides it."""
    return model.rpartition("/")[2] or model


def percent_done(progress: Progress) -> int:
    """Return how much is done: by phase, and in building by finished tasks, so that a repair takes nothing back."""
    if progress.state is RunState.DONE:
        return 100
    if progress.phase is not Phase.IMPLEMENT or not progress.tasks:
        return _REACHED[progress.phase]
    tasks = progress.tasks[-1:] if progress.kind is RunKind.REFINE else progress.tasks
    finished = sum(task.status is not TaskStatus.TODO for task in tasks)
    first, last = _REACHED[Phase.IMPLEMENT], _REACHED[Phase.README]
    return first + (last - first) * finished // len(tasks)
