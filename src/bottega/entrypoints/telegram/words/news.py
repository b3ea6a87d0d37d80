"""What deserves a message of its own: an event, or the reason a run waits for its person, with what they can do."""

from decimal import Decimal

from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.types import Button, Keyboard, Say
from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.markup import Html, joined
from bottega.entrypoints.telegram.words.money import MoneyWords
from bottega.entrypoints.telegram.words.progress import model_name
from bottega.entrypoints.telegram.words.values import Named, Stopped
from bottega.entrypoints.telegram.words.voice import Voice, in_rows, one_of
from bottega.orchestration import events
from bottega.orchestration.events import Event
from bottega.orchestration.state import StopCode

WORTH_A_MESSAGE_SECONDS = 60  # a provider that is waited for less than this is told of in the status message only
PACKAGES = 3
_REASON, _FEEDBACK = 900, 1200
_TOLD_ELSEWHERE = frozenset({StopCode.QUESTIONS, StopCode.APPROVAL})
_AT_A_TASK = frozenset({StopCode.TASK_STUCK, StopCode.GOING_IN_CIRCLES, StopCode.TOO_MANY_ATTEMPTS})
_OURS = frozenset({StopCode.PROVIDER, StopCode.CONFIGURATION, StopCode.UNUSABLE_REPLIES, StopCode.DEFECT})
_WITH_REASON = frozenset(  # where the engine's sentence knows more than ours
    {
        StopCode.TASK_STUCK,
        StopCode.GOING_IN_CIRCLES,
        StopCode.README_FAILED,
        StopCode.WORKING_TIME,
        StopCode.TOO_MANY_ATTEMPTS,
        StopCode.TOO_MANY_STEPS,
    }
    | _OURS
)


class NewsWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._money = MoneyWords(voice)

    def of(self, event: Event, *, project: Named, task_title: str | None = None) -> Say | None:
        """Return the message an event deserves, or None where the status message says enough.

        Questions, a plan, a stop and a delivery need more than their event: they have methods of their own
        (`projects.question`, `projects.plan`, `stopped`, `delivery.delivered`) and are None here.
        """
        title = self._voice.title(project)
        match event:
            case events.TaskRejected():
                feedback = markup.quoted(markup.block(event.feedback, limit=_FEEDBACK))
                keyboard = in_rows([self._explain(project), self._pause(project)])
                task = _task(event.task_key, title=task_title)
                return self._voice.say("rejected", keyboard, title=title, task=task, feedback=feedback)
            case events.ModelEscalated():
                model = markup.code(model_name(event.model), limit=60)
                task = _task(event.task_key, title=task_title)
                return self._voice.say("escalated", title=title, task=task, model=model)
            case events.TasksDropped():
                rows = self._voice.some((Html(f"➖ {markup.line(task)}") for task in event.tasks), most=10)
                return self._voice.say("dropped", title=title, tasks=rows)
            case events.RefinementStarted():
                path = markup.code(event.path, limit=200)
                keyboard = in_rows([self._pause(project), self._stop(project)])
                return self._voice.say("refinement-started", keyboard, title=title, path=path)
            case events.ProviderTrouble():
                return self._trouble(event, project=project)
            case events.InLine():
                return self._voice.say("in-line", title=title, count=event.at_once)
            case _:
                return None

    def _trouble(self, event: events.ProviderTrouble, *, project: Named) -> Say | None:
        if event.next_model is not None or event.retry_seconds < WORTH_A_MESSAGE_SECONDS:
            return None
        title, wait = self._voice.title(project), self._voice.duration(event.retry_seconds)
        keyboard = in_rows([self._pause(project), self._stop(project)])
        return self._voice.say("provider-trouble", keyboard, title=title, wait=wait)

    def stopped(self, stopped: Stopped) -> Say | None:
        """Return why a run waits and what its person can do; None for questions and plans, which say so themselves."""
        code = stopped.stop_code
        if code in _TOLD_ELSEWHERE:
            return None
        says_reason = code in _WITH_REASON and stopped.reason
        html = joined(
            self._voice.html("stopped", title=self._voice.title(stopped), why=self._why(stopped)),
            markup.quoted(markup.block(stopped.reason, limit=_REASON)) if says_reason else None,
            self._hint(stopped),
            between="\n\n",
        )
        return Say(html=html, keyboard=self._keyboard(stopped))

    def _why(self, stopped: Stopped) -> Html:
        why = one_of("stop", stopped.stop_code)
        if stopped.needed is None or stopped.stop_code not in {StopCode.OUT_OF_CREDITS, StopCode.PROJECT_LIMIT}:
            return self._voice.html(why)
        if stopped.stop_code is StopCode.OUT_OF_CREDITS and stopped.available < 0:
            return self._voice.html("stop-in-debt", credits=-stopped.available)
        return self._voice.html(f"{why}-needed", needed=stopped.needed, credits=stopped.available)

    def _hint(self, stopped: Stopped) -> Html:
        has_offers = stopped.offers is not None and bool(stopped.offers.packages)
        if stopped.stop_code is StopCode.OUT_OF_CREDITS and not has_offers:
            return self._voice.html("hint-nothing-for-sale")
        return self._voice.html(one_of("hint", stopped.stop_code))

    def _keyboard(self, stopped: Stopped) -> Keyboard:
        match stopped.stop_code:
            case code if code in _AT_A_TASK:
                return self._at_a_task(stopped)
            case StopCode.OUT_OF_CREDITS:
                return self._top_up(stopped)
            case StopCode.PROJECT_LIMIT:
                raised = self._voice.button("button-raise-limit", buttons.RaiseLimit(project_id=stopped.project_id))
                lifted = self._voice.button("button-lift-limit", buttons.LiftLimit(project_id=stopped.project_id))
                return in_rows([raised, lifted, self._stop(stopped)])
            case StopCode.PAUSED:
                return in_rows([self._resume(stopped), self._stop(stopped)])
            case StopCode.WORKING_TIME | StopCode.TOO_MANY_STEPS:
                more = self._voice.button("button-as-much-again", buttons.Resume(project_id=stopped.project_id))
                return in_rows([more, self._explain(stopped), self._stop(stopped)])
            case StopCode.README_FAILED:
                taken = self._voice.button("button-take-as-is", buttons.Download(project_id=stopped.project_id))
                return in_rows([self._try_again(stopped), taken, self._explain(stopped), self._stop(stopped)])
            case _:
                return in_rows([self._try_again(stopped), self._stop(stopped)])

    def _at_a_task(self, stopped: Stopped) -> Keyboard:
        key, model = stopped.project_id, stopped.stronger_model
        stronger = None
        if model is not None:
            press = buttons.StrongerModel(project_id=key)
            stronger = self._voice.button("button-stronger", press, model=model_name(model))
        drop = self._voice.button("button-drop", buttons.DropTask(project_id=key))
        return in_rows(
            [
                self._try_again(stopped),
                self._explain(stopped),
                stronger,
                None if stopped.is_one_task else drop,
                self._stop(stopped),
            ]
        )

    def _top_up(self, stopped: Stopped) -> Keyboard:
        """Offer the packages that are enough, the smallest first; where none is, the largest."""
        missing = (stopped.needed or Decimal(0)) - stopped.available
        offered = self._money.offered(stopped.offers, missing=missing, most=PACKAGES)
        last = in_rows([self._resume(stopped), self._stop(stopped)])
        return (*offered, *last)

    def _try_again(self, project: Named) -> Button:
        return self._voice.button("button-try-again", buttons.TryAgain(project_id=project.project_id))

    def _resume(self, project: Named) -> Button:
        return self._voice.button("button-resume", buttons.Resume(project_id=project.project_id))

    def _explain(self, project: Named) -> Button:
        return self._voice.button("button-explain", buttons.Explain(project_id=project.project_id))

    def _pause(self, project: Named) -> Button:
        return self._voice.button("button-pause", buttons.Pause(project_id=project.project_id))

    def _stop(self, project: Named) -> Button:
        return self._voice.button("button-stop", buttons.Cancel(project_id=project.project_id))


def _task(key: str, *, title: str | None) -> Html:
    named = markup.line(key, limit=8)
    return named if title is None else joined(named, markup.line(title, limit=100), between=" ")
