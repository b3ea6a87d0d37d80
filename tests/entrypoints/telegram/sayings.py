"""Everything the bot can say, each with an example of the values it is made from.

`EVERYTHING` names a method of `Words` (and, after a colon, which case of it). `quoted` stands wherever text of people
and models does: tests put what they like in its place.
"""

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from bottega.billing.ledger import InsufficientCredits, ProjectLimitReached
from bottega.billing.payments.packages import CreditPackage
from bottega.billing.statement import HeldFor, Movement
from bottega.billing.types import TransactionType
from bottega.core.errors import AppError
from bottega.delivery.report import ReceiptLine
from bottega.entrypoints.telegram.types import Say
from bottega.entrypoints.telegram.words import Words
from bottega.entrypoints.telegram.words.markup import Html
from bottega.entrypoints.telegram.words.money import Invoice
from bottega.entrypoints.telegram.words.people import UNSUPPORTED, BadDocument, Command
from bottega.entrypoints.telegram.words.values import (
    Bill,
    CheckoutRefusal,
    Deleted,
    Delivery,
    ListedProject,
    ListedTask,
    Named,
    Offers,
    OpenQuestion,
    Progress,
    Receipt,
    ShownPlan,
    Stats,
    Stopped,
)
from bottega.orchestration import events
from bottega.orchestration.events import Event, StepStarted
from bottega.orchestration.funding import WaitingRun
from bottega.orchestration.refining import TooFewCredits
from bottega.orchestration.state import Phase, RunKind, RunState, StepKind, StopCode, TaskStatus
from bottega.projects.status import ProjectStatus

Said = Say | Html | str | Invoice | tuple[Command, ...] | None


class Quote(Protocol):
    def __call__(self, text: str, /) -> str: ...


Saying = Callable[[Words, Quote], Said]

PROJECT = uuid.UUID("1b4e28ba-2fa1-4cd2-883f-0016d3cca427")
QUESTION = uuid.UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
NOW = dt.datetime(2026, 11, 21, 18, 30, tzinfo=dt.UTC)
PACKAGES = (
    CreditPackage(name="buy_100", credits=Decimal(100), price_minor=100, stars=80),
    CreditPackage(name="buy_2000", credits=Decimal(2000), price_minor=2000, stars=1600),
    CreditPackage(name="buy_500", credits=Decimal(500), price_minor=500, stars=400),
)
OFFERS = Offers(packages=PACKAGES, currency="usd", by_stars=True, by_card=True)
MODEL = "openrouter/fake/small"


@dataclass(frozen=True)
class Example:
    """Values that many sayings share, with others' text put through `quote`."""

    quote: Quote

    @property
    def named(self) -> Named:
        return Named(project_id=PROJECT, title=self.quote("Word counter"))

    def tasks(self, *, of: int = 4) -> tuple[ListedTask, ...]:
        states = (TaskStatus.DONE, TaskStatus.UNCHECKED, TaskStatus.DROPPED, *[TaskStatus.TODO] * of)
        return tuple(
            ListedTask(key=f"T{number}", title=self.quote(f"Part {number}"), status=status)
            for number, status in enumerate(states[:of], start=1)
        )

    def question(self, *, options: int = 3, number: int = 1, total: int = 2) -> OpenQuestion:
        return OpenQuestion(
            project_id=PROJECT,
            question_id=QUESTION,
            text=self.quote("Where should the words come from?"),
            options=tuple(self.quote(text) for text in ("A file", "What is typed", "A web page", "All of them"))[
                :options
            ],
            recommended=1 if options else 0,
            number=number,
            total=total,
        )

    def plan(self, *, available: int = 1000, of: int = 4, parts: int = 1, has_quote: bool = True) -> ShownPlan:
        return ShownPlan(
            project_id=PROJECT,
            title=self.quote("Word counter"),
            documentation="# " + self.quote("Word counter") + "\n\n" + self.quote("Counts the words of **one** file."),
            tech_stack={"language": self.quote("Python 3"), **{f"part {n}": self.quote("none") for n in range(parts)}},
            tasks=self.tasks(of=of),
            low=Decimal("14.925") if has_quote else None,
            high=Decimal("37.275") if has_quote else None,
            available=Decimal(available),
        )

    def step(self, kind: str = StepKind.IMPLEMENT, *, attempt: int = 2) -> StepStarted:
        of_task = kind in {StepKind.IMPLEMENT, StepKind.CHECK, StepKind.VERIFY, StepKind.COMMIT}
        asks = kind in {StepKind.GATHER, StepKind.PLAN, StepKind.IMPLEMENT, StepKind.VERIFY, StepKind.README}
        return StepStarted(
            kind=kind,
            task_key="T4" if of_task else None,
            title=self.quote("Part 4"),
            attempt=attempt,
            model=self.quote(MODEL) if asks else None,
            position=7,
            total=20,
        )

    def progress(
        self,
        *,
        phase: Phase = Phase.IMPLEMENT,
        state: RunState = RunState.READY,
        step: StepStarted | None = None,
        latest: Event | None = None,
        of: int = 4,
        checks: int = 12,
        seconds: int = 754,
        has_quote: bool = True,
    ) -> Progress:
        return Progress(
            project_id=PROJECT,
            title=self.quote("Word counter"),
            kind=RunKind.BUILD,
            phase=phase,
            state=state,
            stop_code=None,
            tasks=self.tasks(of=of),
            step=step,
            latest=latest,
            checks_passed=checks,
            credits_charged=Decimal("4.2"),
            quote_high=Decimal("37.275") if has_quote else None,
            elapsed_seconds=seconds,
        )

    def stopped(
        self,
        code: StopCode,
        *,
        available: str = "3.5",
        needed: str | None = None,
        stronger: str | None = None,
        is_one_task: bool = False,
        offers: Offers | None = OFFERS,
    ) -> Stopped:
        return Stopped(
            project_id=PROJECT,
            title=self.quote("Word counter"),
            stop_code=code,
            reason=self.quote("T4 failed with every model. The last word on it: `make test`: 2 of 8 tests failed"),
            available=Decimal(available),
            needed=None if needed is None else Decimal(needed),
            stronger_model=None if stronger is None else self.quote(stronger),
            is_one_task=is_one_task,
            offers=offers,
        )

    def delivery(self, *, of: int = 4, how_to_run: bool = True, is_refinement: bool = False) -> Delivery:
        return Delivery(
            project_id=PROJECT,
            title=self.quote("Word counter"),
            summary=self.quote("Counts the words of a file and shows the ten most frequent."),
            files=7,
            size_bytes=12_345,
            tasks=self.tasks(of=of),
            checks_passed=34 if of else 0,
            how_to_run=(self.quote("python -m words < text.txt"), self.quote("make test")) if how_to_run else (),
            credits_charged=Decimal("21.3349"),
            quote_high=Decimal("37.275") if how_to_run else None,
            elapsed_seconds=8000,
            is_refinement=is_refinement,
        )

    def receipt(self, *, times: int = 1) -> Receipt:
        lines = (
            ReceiptLine(
                title=self.quote("Planning"),
                calls=2,
                calls_not_charged=1,
                input_tokens=1000,
                output_tokens=900,
                credits=Decimal("3.1"),
            ),
            ReceiptLine(
                task_key="T1",
                title=self.quote("Part 1"),
                calls=1,
                calls_not_charged=0,
                input_tokens=10,
                output_tokens=9,
                credits=Decimal("0.004"),
            ),
        )
        return Receipt(project_id=PROJECT, title=self.quote("Word counter"), lines=lines * times)

    def movement(self, kind: str, *, credits: str = "-1.23", project: bool = False) -> Movement:
        return Movement(
            id=1,
            at=NOW,
            type=kind,
            credits=Decimal(credits),
            balance_after=Decimal("98.77"),
            project_id=PROJECT if project else None,
            project=self.quote("Word counter") if project else None,
            purpose="implement" if project else None,
            task_key="T1" if project else None,
            description=None,
        )

    def listed(self, status: ProjectStatus, *, is_current: bool = False) -> ListedProject:
        return ListedProject(
            project_id=PROJECT,
            title=self.quote("Word counter"),
            status=status,
            credits_charged=Decimal("4.2"),
            is_current=is_current,
        )

    def events(self) -> dict[str, Event]:
        """Return an event of every kind, and of those that read differently from case to case."""
        q = self.quote
        return {
            "project_started": events.ProjectStarted(title=q("Word counter")),
            "questions_asked": events.QuestionsAsked(count=3),
            "questions_asked:one": events.QuestionsAsked(count=1),
            "requirements_clear": events.RequirementsClear(),
            "plan_ready": events.PlanReady(title=q("W"), tasks=("T1 a", "T2 b"), low_credits="1", high_credits="2"),
            "plan_ready:one": events.PlanReady(title=q("W"), tasks=("T1 a",), low_credits="1.00", high_credits="2.00"),
            "plan_approved": events.PlanApproved(),
            "refinement_started": events.RefinementStarted(task_key="T5", title=q("Change"), path=q("words/count.py")),
            "task_implemented": events.TaskImplemented(
                task_key="T2", title=q("Part 2"), attempt=1, model=q(MODEL), files=(q("a.py"), q("b.py"))
            ),
            "task_implemented:one": events.TaskImplemented(
                task_key="T2", title=q("Part 2"), attempt=1, model=q(MODEL), files=(q("a.py"),)
            ),
            "proposal_repeated": events.ProposalRepeated(task_key="T2", model=q(MODEL), said=q("the same failed")),
            "reply_unusable": events.ReplyUnusable(kind="implement", task_key="T2", complaint=q("No edit was found.")),
            "checks_passed": events.ChecksPassed(task_key="T2", commands=3, tests=8),
            "checks_passed:one": events.ChecksPassed(task_key="T2", commands=1, tests=1),
            "checks_passed:readme": events.ChecksPassed(task_key=None, commands=2, tests=0),
            "checks_failed": events.ChecksFailed(task_key="T2", command=q("make test"), reason=q("exit code 1")),
            "checks_not_executed": events.ChecksNotExecuted(task_key="T2", reason=q("no sandbox holds here")),
            "task_approved": events.TaskApproved(task_key="T2"),
            "task_rejected": events.TaskRejected(task_key="T2", feedback=q("Say what happens with an empty file.")),
            "model_escalated": events.ModelEscalated(task_key="T2", model=q("openrouter/fake/large")),
            "tasks_dropped": events.TasksDropped(tasks=(q("T2 Part 2"), q("T3 Part 3"))),
            "task_done": events.TaskDone(
                task_key="T2", title=q("Part 2"), commit_sha="0" * 40, executed=True, credits_charged="1.23"
            ),
            "task_done:unchecked": events.TaskDone(
                task_key="T2", title=q("Part 2"), commit_sha="0" * 40, executed=False, credits_charged="1.23"
            ),
            "readme_written": events.ReadmeWritten(commands=2),
            "readme_committed": events.ReadmeCommitted(executed=True),
            "readme_committed:unchecked": events.ReadmeCommitted(executed=False),
            "delivered": events.Delivered(title=q("W"), files=7, size_bytes=12_345, credits_charged="21.33"),
            "delivered:one": events.Delivered(title=q("W"), files=1, size_bytes=12, credits_charged="1.00"),
            "provider_trouble": events.ProviderTrouble(message=q("limited"), retry_seconds=90, next_model=None),
            "provider_trouble:short": events.ProviderTrouble(message=q("limited"), retry_seconds=4, next_model=None),
            "provider_trouble:next": events.ProviderTrouble(message=q("no"), retry_seconds=0, next_model=q(MODEL)),
            "run_stopped": events.RunStopped(stop_code="paused", reason=q("Paused."), choices=(q("resume"),)),
            "driven_elsewhere": events.DrivenElsewhere(),
            "in_line": events.InLine(at_once=3),
            "in_line:one": events.InLine(at_once=1),
            "run_resumed": events.RunResumed(),
            "run_cancelled": events.RunCancelled(),
        }


class Unknown(AppError):
    code = "not_in_any_catalogue"


def _error(code: str, sentence: str) -> AppError:
    error = AppError(sentence)
    error.__class__ = type(code, (AppError,), {"code": code})
    return error


KNOWN_CODES = (
    "unknown_project",
    "project_not_found",
    "empty_brief",
    "brief_too_long",
    "unclear_form",
    "empty_instruction",
    "instruction_too_long",
    "unknown_file",
    "file_too_large",
    "insufficient_credits",
    "project_limit_reached",
    "not_delivered",
    "cannot_drop",
    "nothing_to_do",
    "project_paused",
    "project_cancelled",
    "invalid_limit",
    "account_inactive",
    "account_not_active",
    "unknown_package",
    "payments_off",
    "payment_gateway_unavailable",
    "payment_gateway_refused",
    "unknown_order",
    "too_many_orders",
    "no_telegram_account",
    "illegal_move",
    "storage_unavailable",
)


def _people() -> dict[str, Saying]:
    return {
        "people.welcome": lambda w, q: w.people.welcome(name=q("Ana"), credits=Decimal(100)),
        "people.welcome:without": lambda w, q: w.people.welcome(name=q("Ana"), credits=Decimal(0)),
        "people.welcome_back": lambda w, q: w.people.welcome_back(name=q("Ana"), available=Decimal("4.2"), projects=2),
        "people.welcome_back:one": lambda w, q: w.people.welcome_back(
            name=q("A"), available=Decimal("4.2"), projects=1
        ),
        "people.welcome_back:none": lambda w, q: w.people.welcome_back(name=q("A"), available=Decimal(0), projects=0),
        "people.help": lambda w, _: w.people.help(),
        "people.commands": lambda w, _: w.people.commands(),
        "people.describe": lambda w, _: w.people.describe(),
        "people.small_talk": lambda w, _: w.people.small_talk(),
        "people.example:1": lambda w, _: w.people.example(1),
        "people.example:2": lambda w, _: w.people.example(2),
        "people.example:3": lambda w, _: w.people.example(3),
        "people.example:4": lambda w, _: w.people.example(4),
        "people.too_short": lambda w, q: w.people.too_short(brief=q("a bot")),
        "people.which_project": lambda w, q: w.people.which_project(
            text=q("make it blue"), projects=[Example(q).named] * 7
        ),
        "people.never_mind": lambda w, _: w.people.never_mind(),
        "people.fits_nothing": lambda w, _: w.people.fits_nothing(),
        "people.unknown_command": lambda w, q: w.people.unknown_command(q("/frobnicate")),
        **{f"people.unsupported:{what}": _unsupported(what) for what in (*sorted(UNSUPPORTED), "story")},
        "people.too_long": lambda w, _: w.people.too_long(most_bytes=50_000),
        **{f"people.bad_document:{why}": _bad_document(why) for why in BadDocument},
        "people.languages": lambda w, _: w.people.languages(),
        "people.language_chosen": lambda w, _: w.people.language_chosen(),
        "people.settings": lambda w, _: w.people.settings(),
        "people.terms": lambda w, _: w.people.terms(),
        "people.pay_support": lambda w, _: w.people.pay_support(),
        "people.pay_support:contact": lambda w, q: w.people.pay_support(contact=q("@operator")),
        "people.delete_asked": lambda w, _: w.people.delete_asked(projects=2, available=Decimal("4.2")),
        "people.delete_asked:one": lambda w, _: w.people.delete_asked(projects=1, available=Decimal("4.2")),
        "people.delete_asked:none": lambda w, _: w.people.delete_asked(projects=0, available=Decimal(0)),
        "people.deleted": lambda w, _: w.people.deleted(Deleted(projects=2, at=NOW)),
        "people.deleted:one": lambda w, _: w.people.deleted(Deleted(projects=1, at=NOW)),
        "people.deleted:none": lambda w, _: w.people.deleted(Deleted(projects=0, at=NOW)),
        "people.not_allowed": lambda w, _: w.people.not_allowed(person_id=123_456_789),
        "people.in_groups": lambda w, q: w.people.in_groups(name=q("bottega_bot")),
        "people.only_in_private": lambda w, _: w.people.only_in_private(bot="bottega_bot"),
        "people.login_code": lambda w, _: w.people.login_code(
            "42-K7QM2XWP", address="https://bottega.example", minutes=5
        ),
        "people.login_too_late": lambda w, _: w.people.login_too_late(),
        "people.login_only_in_private": lambda w, _: w.people.login_only_in_private(bot="bottega_bot"),
    }


def _unsupported(what: str) -> Saying:
    return lambda w, _: w.people.unsupported(what)


def _bad_document(why: BadDocument) -> Saying:
    return lambda w, q: w.people.bad_document(why, name=q("brief.txt"), most_bytes=50_000)


def _projects() -> dict[str, Saying]:
    one, many = ProjectStatus.IMPLEMENTING, tuple(ProjectStatus)
    limit = Decimal(50)
    return {
        "projects.none": lambda w, _: w.projects.none(),
        "projects.overview:none": lambda w, _: w.projects.overview([]),
        "projects.overview:one": lambda w, q: w.projects.overview([Example(q).listed(one, is_current=True)]),
        **{f"projects.overview:page {page}": _overview(many, page=page) for page in (0, 1, 2)},
        "projects.opened": lambda w, q: w.projects.opened(Example(q).named),
        "projects.question": lambda w, q: w.projects.question(Example(q).question()),
        "projects.question:last": lambda w, q: w.projects.question(Example(q).question(number=2, options=4)),
        "projects.question:only": lambda w, q: w.projects.question(Example(q).question(options=2, total=1)),
        "projects.question:open": lambda w, q: w.projects.question(Example(q).question(options=0)),
        "projects.answered": lambda w, q: w.projects.answered(question=q("Where from?"), answer=q("A file")),
        "projects.plan": lambda w, q: w.projects.plan(Example(q).plan()),
        "projects.plan:tight": lambda w, q: w.projects.plan(Example(q).plan(available=20, of=1)),
        "projects.plan:short": lambda w, q: w.projects.plan(Example(q).plan(available=3, of=22, parts=8)),
        "projects.plan:no price": lambda w, q: w.projects.plan(Example(q).plan(has_quote=False)),
        "projects.going": lambda w, q: w.projects.going(Example(q).named),
        "projects.change_plan_asked": lambda w, q: w.projects.change_plan_asked(Example(q).named),
        "projects.plan_changing": lambda w, q: w.projects.plan_changing(Example(q).named),
        "projects.explain_asked": lambda w, q: w.projects.explain_asked(Example(q).named),
        "projects.remark_noted": lambda w, q: w.projects.remark_noted(Example(q).named, goes_on=False),
        "projects.remark_noted:goes on": lambda w, q: w.projects.remark_noted(Example(q).named, goes_on=True),
        "projects.limit_asked": lambda w, q: w.projects.limit_asked(Example(q).named, limit=None, charged=Decimal(4)),
        "projects.limit_asked:again": lambda w, q: w.projects.limit_asked(
            Example(q).named, limit=limit, charged=Decimal(4)
        ),
        "projects.limit_unclear": lambda w, q: w.projects.limit_unclear(Example(q).named),
        "projects.limited": lambda w, q: w.projects.limited(Example(q).named, limit=limit),
        "projects.limited:not": lambda w, q: w.projects.limited(Example(q).named, limit=None),
        **{f"projects.cancel_asked:{is_refinement}": _cancel_asked(is_refinement) for is_refinement in (False, True)},
        "projects.cancelled": lambda w, q: w.projects.cancelled(Example(q).named, is_refinement=False, has_files=True),
        "projects.cancelled:empty": lambda w, q: w.projects.cancelled(
            Example(q).named, is_refinement=False, has_files=False
        ),
        "projects.cancelled:refinement": lambda w, q: w.projects.cancelled(
            Example(q).named, is_refinement=True, has_files=True
        ),
        "projects.going_on": lambda w, q: w.projects.going_on(Example(q).named),
    }


def _overview(statuses: tuple[ProjectStatus, ...], *, page: int) -> Saying:
    return lambda w, q: w.projects.overview([Example(q).listed(status) for status in statuses], page=page)


def _cancel_asked(is_refinement: bool) -> Saying:  # noqa: FBT001  # one flag, said by the name of the function
    return lambda w, q: w.projects.cancel_asked(Example(q).named, charged=Decimal("4.2"), is_refinement=is_refinement)


def _progress() -> dict[str, Saying]:
    return {
        **{f"progress.status:{phase}": _in_phase(phase) for phase in Phase},
        **{f"progress.status:{state}": _in_state(state) for state in RunState},
        "progress.status:waits for a go": lambda w, q: w.progress.status(
            Example(q).progress(state=RunState.WAITING, phase=Phase.APPROVE)
        ),
        **{f"progress.status:doing {kind}": _doing(kind) for kind in StepKind},
        "progress.status:first try": lambda w, q: w.progress.status(
            Example(q).progress(step=Example(q).step(attempt=1), of=1, checks=1, seconds=40)
        ),
        "progress.status:unknown step": lambda w, q: w.progress.status(
            Example(q).progress(step=Example(q).step("dance"))
        ),
        "progress.status:no quote": lambda w, q: w.progress.status(
            Example(q).progress(of=0, phase=Phase.PLAN, checks=0, seconds=7500, has_quote=False)
        ),
        "progress.details": lambda w, q: w.progress.details(
            Example(q).progress(of=30, step=Example(q).step(), latest=Example(q).events()["task_rejected"])
        ),
        "progress.details:no tasks": lambda w, q: w.progress.details(Example(q).progress(of=0, phase=Phase.GATHER)),
        "progress.begun": lambda w, q: w.progress.begun(Example(q).named),
        **{f"progress.latest:{name}": _latest(name) for name in Example(str).events()},
    }


def _in_phase(phase: Phase) -> Saying:
    return lambda w, q: w.progress.status(Example(q).progress(phase=phase))


def _in_state(state: RunState) -> Saying:
    return lambda w, q: w.progress.status(Example(q).progress(state=state, latest=Example(q).events()["task_done"]))


def _doing(kind: StepKind) -> Saying:
    return lambda w, q: w.progress.status(
        Example(q).progress(step=Example(q).step(kind), latest=Example(q).events()["checks_failed"])
    )


def _latest(name: str) -> Saying:
    return lambda w, q: w.progress.latest(Example(q).events()[name])


def _news() -> dict[str, Saying]:
    short, limit = StopCode.OUT_OF_CREDITS, StopCode.PROJECT_LIMIT
    return {
        **{f"news.of:{name}": _news_of(name) for name in Example(str).events()},
        **{f"news.stopped:{code}": _stopped(code) for code in StopCode},
        "news.of:without a title": lambda w, q: w.news.of(
            Example(q).events()["task_rejected"], project=Example(q).named
        ),
        "news.stopped:stronger": lambda w, q: w.news.stopped(
            Example(q).stopped(StopCode.TOO_MANY_ATTEMPTS, stronger="openrouter/fake/large")
        ),
        "news.stopped:one task": lambda w, q: w.news.stopped(Example(q).stopped(StopCode.TASK_STUCK, is_one_task=True)),
        "news.stopped:needs credits": lambda w, q: w.news.stopped(Example(q).stopped(short, needed="120")),
        "news.stopped:needs more than any package": lambda w, q: w.news.stopped(
            Example(q).stopped(short, needed="9000")
        ),
        "news.stopped:nothing for sale": lambda w, q: w.news.stopped(
            Example(q).stopped(short, needed="12", offers=None)
        ),
        "news.stopped:in debt": lambda w, q: w.news.stopped(Example(q).stopped(short, needed="1", available="-7.5")),
        "news.stopped:needs limit": lambda w, q: w.news.stopped(Example(q).stopped(limit, needed="12")),
    }


def _news_of(name: str) -> Saying:
    return lambda w, q: w.news.of(Example(q).events()[name], project=Example(q).named, task_title=q("Part 2"))


def _stopped(code: StopCode) -> Saying:
    return lambda w, q: w.news.stopped(Example(q).stopped(code))


def _delivery() -> dict[str, Saying]:
    paths = [f"words/part_{number:02}.py" for number in range(20)]
    name, size = "word-counter.zip", 61_500_000
    return {
        "delivery.delivered": lambda w, q: w.delivery.delivered(Example(q).delivery()),
        "delivery.delivered:without commands": lambda w, q: w.delivery.delivered(
            Example(q).delivery(how_to_run=False, of=1)
        ),
        "delivery.delivered:many tasks": lambda w, q: w.delivery.delivered(Example(q).delivery(of=30)),
        "delivery.delivered:refinement": lambda w, q: w.delivery.delivered(
            Example(q).delivery(is_refinement=True, of=0)
        ),
        "delivery.caption": lambda w, q: w.delivery.caption(Example(q).delivery()),
        "delivery.receipt": lambda w, q: w.delivery.receipt(Example(q).receipt()),
        "delivery.receipt:long": lambda w, q: w.delivery.receipt(Example(q).receipt(times=12)),
        "delivery.receipt:empty": lambda w, q: w.delivery.receipt(
            Receipt(project_id=PROJECT, title=q("Word counter"), lines=())
        ),
        **{f"delivery.how_to_change:page {page}": _how_to_change(paths, page=page) for page in (0, 1, 99)},
        "delivery.how_to_change:one file": lambda w, q: w.delivery.how_to_change(
            Example(q).named, paths=[q("a/very/long/path/to/a/file/whose/end/tells/it/apart.py")]
        ),
        "delivery.how_to_change:nothing": lambda w, q: w.delivery.how_to_change(Example(q).named, paths=[]),
        "delivery.change_asked": lambda w, q: w.delivery.change_asked(Example(q).named, path=q("words/count.py")),
        "delivery.files_changed": lambda w, q: w.delivery.files_changed(Example(q).named),
        "delivery.so_far": lambda w, q: w.delivery.so_far(Example(q).named, files=3, size_bytes=400),
        "delivery.so_far:one": lambda w, q: w.delivery.so_far(Example(q).named, files=1, size_bytes=size),
        "delivery.again": lambda w, q: w.delivery.again(Example(q).named),
        "delivery.nothing_yet": lambda w, q: w.delivery.nothing_yet(Example(q).named),
        "delivery.too_large": lambda w, q: w.delivery.too_large(file_name=q(name), size_bytes=size),
    }


def _how_to_change(paths: list[str], *, page: int) -> Saying:
    return lambda w, q: w.delivery.how_to_change(Example(q).named, paths=[q(path) for path in paths], page=page)


def _money() -> dict[str, Saying]:
    return {
        "money.credits": lambda w, q: w.money.credits(
            available=Decimal("98.765"),
            held=[HeldFor(project_id=PROJECT, project=q("Word counter"), credits=Decimal("1.5"))] * 12,
            waiting=[
                WaitingRun(project_id=PROJECT, title=q("Word counter"), credits_needed=Decimal(7), limit_left=None)
            ]
            * 2,
            offers=OFFERS,
        ),
        "money.credits:nothing else": lambda w, _: w.money.credits(
            available=Decimal("0.0012"), held=[], waiting=[], offers=None
        ),
        "money.credits:in debt": lambda w, q: w.money.credits(
            available=Decimal(-7),
            held=[HeldFor(project_id=None, project=None, credits=Decimal("1.5"))],
            waiting=[WaitingRun(project_id=PROJECT, title=q("W"), credits_needed=Decimal(7), limit_left=None)],
            offers=OFFERS,
        ),
        "money.history": lambda w, q: w.money.history(
            [
                *[Example(q).movement(kind, credits="100") for kind in (*TransactionType, "from_another_version")],
                *[Example(q).movement("usage_deduction", project=True)] * 9,
            ][-14:]
        ),
        "money.history:kinds": lambda w, q: w.money.history(
            [Example(q).movement(kind, credits=amount) for kind in (*TransactionType, "new") for amount in ("2", "0")][
                ::2
            ]
        ),
        "money.history:empty": lambda w, _: w.money.history([]),
        "money.packages": lambda w, _: w.money.packages(OFFERS, available=Decimal(3)),
        "money.packages:stars": lambda w, _: w.money.packages(
            Offers(packages=PACKAGES, currency="usd", by_stars=True, by_card=False), available=Decimal(3)
        ),
        "money.packages:none": lambda w, _: w.money.packages(None, available=Decimal(3)),
        "money.invoice": lambda w, _: w.money.invoice(PACKAGES[1]),
        "money.card_page": lambda w, _: w.money.card_page(PACKAGES[0], currency="usd", url="https://pay.example/abc"),
        "money.thanks": lambda w, _: w.money.thanks(
            Bill(credits=Decimal(100), amount_minor=80, currency="XTR", available=Decimal("103.5"))
        ),
        **{f"money.thanks:{count} go on": _thanks(count) for count in (1, 12)},
        "money.not_as_ordered": lambda w, _: w.money.not_as_ordered(),
        **{f"money.checkout_refused:{why}": _refused(why) for why in CheckoutRefusal},
    }


def _thanks(count: int) -> Saying:
    return lambda w, q: w.money.thanks(
        Bill(
            credits=Decimal(500),
            amount_minor=500,
            currency="usd",
            available=Decimal(600),
            goes_on=(q("Word counter"),) * count,
        )
    )


def _refused(why: CheckoutRefusal) -> Saying:
    return lambda w, _: w.money.checkout_refused(why)


def _faults() -> dict[str, Saying]:
    sentence = "Tasks are built in order: the next one is T2, Part 2."
    return {
        **{f"faults.of:{code}": _fault(code) for code in KNOWN_CODES},
        "faults.of:unknown code": lambda w, q: w.faults.of(Unknown(q(sentence)), project_id=PROJECT),
        "faults.of:about nothing": lambda w, q: w.faults.of(Unknown(q(sentence))),
        "faults.of:short of credits": lambda w, _: w.faults.of(
            InsufficientCredits(needed=Decimal(12), available=Decimal(3)), project_id=PROJECT
        ),
        "faults.of:short for a refinement": lambda w, _: w.faults.of(
            TooFewCredits(needed=Decimal(12), available=Decimal(3))
        ),
        "faults.of:short of a limit": lambda w, _: w.faults.of(
            ProjectLimitReached(needed=Decimal(12), available=Decimal(3)), project_id=PROJECT
        ),
        "faults.brief": lambda w, q: w.faults.brief(Unknown(q(sentence))),
        "faults.ours": lambda w, _: w.faults.ours(error_id="3f2a9c"),
        "faults.set_aside": lambda w, _: w.faults.set_aside(error_id="3f2a9c"),
    }


def _fault(code: str) -> Saying:
    return lambda w, q: w.faults.of(
        _error(code, q("Tasks are built in order: the next one is T2, Part 2.")), project_id=PROJECT
    )


def _house() -> dict[str, Saying]:
    runs = dict.fromkeys(RunState, 2)
    return {
        "house.granted": lambda w, q: w.house.granted(name=q("@ana"), credits=Decimal(50), available=Decimal(60)),
        "house.given": lambda w, _: w.house.given(credits=Decimal(50), available=Decimal(60)),
        "house.how_to_grant": lambda w, _: w.house.how_to_grant(),
        "house.nobody": lambda w, q: w.house.nobody(name=q("@nobody")),
        "house.free_credits_used_up": lambda w, _: w.house.free_credits_used_up(),
        "house.stats": lambda w, _: w.house.stats(_stats(runs, cap=Decimal(1000))),
        "house.stats:idle": lambda w, _: w.house.stats(_stats(dict.fromkeys(RunState, 0), cap=None)),
    }


def _stats(runs: dict[RunState, int], *, cap: Decimal | None) -> Stats:
    return Stats(
        people=1234,
        people_today=5,
        projects=300,
        projects_delivered=200,
        runs_by_state=runs,
        credits_charged_today=Decimal("123.4"),
        credits_bought_today=Decimal(500),
        free_credits_today=Decimal(300),
        free_credits_a_day=cap,
    )


def _answers() -> dict[str, Saying]:
    return {
        "answers.noted": lambda w, _: w.answers.noted(),
        "answers.building": lambda w, _: w.answers.building(),
        "answers.pausing": lambda w, _: w.answers.pausing(),
        "answers.stopping": lambda w, _: w.answers.stopping(),
        "answers.going_on": lambda w, _: w.answers.going_on(),
        "answers.packing": lambda w, _: w.answers.packing(),
        "answers.out_of_date": lambda w, _: w.answers.out_of_date(),
        "answers.already_answered": lambda w, _: w.answers.already_answered(),
        "answers.not_yours": lambda w, _: w.answers.not_yours(),
        "answers.unknown": lambda w, _: w.answers.unknown(),
        "answers.went_wrong": lambda w, _: w.answers.went_wrong(),
    }


EVERYTHING: dict[str, Saying] = {
    **_people(),
    **_projects(),
    **_progress(),
    **_news(),
    **_delivery(),
    **_money(),
    **_faults(),
    **_house(),
    **_answers(),
}
