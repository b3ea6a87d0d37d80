"""What the command line says, in one place: every event as one line, every ending as a few.

Pure: values in, text out. Markup is rich's, so text from people and models goes through `shown`: escaped, without
control characters (a terminal would obey them), and cut.
"""

import unicodedata
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

from rich.markup import escape

from bottega.billing.reconcile import Findings
from bottega.core.money import show_credits
from bottega.orchestration import events
from bottega.orchestration.events import Event
from bottega.orchestration.state import StopCode

SCRIPTED = (
    "Scripted: every reply below was written in advance. All else is real: database, ledger, sandbox, git, index."
)
NO_MODELS = (
    "No model is configured: set {missing} in the environment or in .env (docs/models.md says where to get them),"
    " keep a key with `bottega keys add`, or run `bottega demo` to see a build without any."
)

NO_LONGER_WATCHING = "\nNo longer watching; whoever works on the project goes on."
DEMO_INTERRUPTED = (
    "Stopped. Everything so far is kept; go on with: bottega demo --resume PROJECT (its id is shown above)"
)
AFTER_DEMO = """
The replies were scripted. For a project of your own, set GOOGLE_API_KEY (the Architect) and OPENROUTER_API_KEY (the
Implementers), or OPENROUTER_BASE_URL for any OpenAI-compatible server, in the environment or in .env; then:

    bottega build "a command line tool that ..."
"""

SPEAK_UP = frozenset(  # a word of the person's helps most
    {
        StopCode.APPROVAL,
        StopCode.TASK_STUCK,
        StopCode.GOING_IN_CIRCLES,
        StopCode.WORKING_TIME,
        StopCode.TOO_MANY_ATTEMPTS,
        StopCode.TOO_MANY_STEPS,
    }
)
SHORT, LONG = 90, 2000  # characters: what fits a line, what fits a screen


_DOING = {
    "gather": "reading the brief",
    "plan": "planning",
    "implement": "writing",
    "check": "running its checks",
    "verify": "reviewing",
    "commit": "committing and indexing",
    "readme": "writing the README",
    "check_readme": "running the README's commands in a clean copy",
    "commit_readme": "committing the README",
    "package": "packing",
}


def doing(event: events.StepStarted) -> str:
    """Return what is under way, for the line beside the progress bar."""
    what = _DOING[event.kind]
    subject = f"{event.task_key} {shown(event.title)}: " if event.task_key else ""
    attempt = f", attempt {event.attempt}" if event.kind == "implement" and event.attempt > 1 else ""
    model = f" ({shown(event.model)}{attempt})" if event.model else ""
    return f"{subject}{what}{model}"


def line(event: Event) -> str | None:
    """Return one line for an event, or None for those that only move the progress bar."""
    match event:
        case events.ProjectStarted():
            return f"[bold]{shown(event.title)}[/]"
        case events.RequirementsClear():
            return "[green]clear[/]    the brief needs no questions"
        case events.QuestionsAsked():
            return f"[yellow]asks[/]     {_count(event.count, 'question')} before planning"
        case events.PlanReady():
            quoted = f"quote {event.low_credits} to {event.high_credits} credits"
            return f"[green]planned[/]  {_count(len(event.tasks), 'task')}; {quoted}"
        case events.TaskImplemented():
            who = f"[dim]attempt {event.attempt}, {shown(event.model.rpartition('/')[2])}[/]"
            return f"[blue]{event.task_key}[/] wrote     {_some(event.files)} {who}"
        case events.ReplyUnusable() | events.ProposalRepeated():
            return _wasted_line(event)
        case events.ModelEscalated():
            return f"[blue]{event.task_key}[/] [yellow]stronger[/]  {shown(event.model)} takes over"
        case events.ChecksPassed() | events.ChecksFailed() | events.ChecksNotExecuted():
            return _checks_line(event)
        case events.TaskApproved() | events.TaskRejected() | events.TaskDone():
            return _verdict_line(event)
        case _:
            return _ending_line(event)


def _wasted_line(event: events.ReplyUnusable | events.ProposalRepeated) -> str:
    match event:
        case events.ReplyUnusable():
            where = f"{event.task_key} " if event.task_key else ""
            return f"{where}[yellow]reply unusable[/]  {_clause(event.complaint)}; asked again"
        case events.ProposalRepeated():
            return f"[blue]{event.task_key}[/] [yellow]repeated[/]  the change has failed before: {shown(event.said)}"


def _checks_line(event: events.ChecksPassed | events.ChecksFailed | events.ChecksNotExecuted) -> str:
    match event:
        case events.ChecksPassed():
            tests = f", {_count(event.tests, 'test')}" if event.tests else ""
            return f"{_of(event.task_key)} [green]passed[/]    {_count(event.commands, 'check')}{tests}"
        case events.ChecksFailed():
            return f"{_of(event.task_key)} [red]failed[/]    {shown(event.command)}: {shown(event.reason)}"
        case events.ChecksNotExecuted():
            return f"{_of(event.task_key)} [yellow]not executed[/]  {shown(event.reason)}"


def _verdict_line(event: events.TaskApproved | events.TaskRejected | events.TaskDone) -> str:
    match event:
        case events.TaskApproved():
            return f"[blue]{event.task_key}[/] [green]approved[/]  by the Architect"
        case events.TaskRejected():
            return f"[blue]{event.task_key}[/] [red]rejected[/]  {shown(event.feedback)}"
        case events.TaskDone():
            mark = "[green]done[/]     " if event.executed else "[yellow]unchecked[/]"
            spent = f"{event.credits_charged} credits"
            return f"[blue]{event.task_key}[/] {mark} {shown(event.title)} [dim]{event.commit_sha[:8]}, {spent}[/]"


def _ending_line(event: Event) -> str | None:
    match event:
        case events.PlanApproved():
            return "[green]go[/]       the plan is approved"
        case events.RefinementStarted():
            return f"[blue]{event.task_key}[/] [green]refines[/]   {shown(event.path)}"
        case events.TasksDropped():
            return f"[yellow]dropped[/]  {shown(', '.join(event.tasks), limit=LONG)}"
        case events.ReadmeWritten():
            return f"README wrote     {_count(event.commands, 'command')} to try"
        case events.ReadmeCommitted():
            return "README [green]done[/]" + (
                "" if event.executed else "      [yellow]its commands were not executed[/]"
            )
        case events.ProviderTrouble():
            then = (
                f"{shown(event.next_model)} is asked instead"
                if event.next_model
                else f"again in {event.retry_seconds} s"
            )
            return f"[yellow]provider[/] {_clause(event.message)}; {then}"
        case events.Delivered():
            return f"[green]packed[/]   {_count(event.files, 'file')}, {event.size_bytes:,} bytes"
        case _:
            return _company_line(event)


def _company_line(event: Event) -> str | None:
    match event:
        case events.DrivenElsewhere():
            return "[yellow]watching[/] another process is working on this project; it is taken over when that ends"
        case events.InLine():
            return f"[yellow]in line[/]  {_count(event.at_once, 'project')} of yours at a time; this one is next"
        case events.RunResumed():
            return "[green]resumed[/]  from where it stopped"
        case _:
            return None


def stopped(
    *,
    project_id: str,
    reason: str | None,
    choices: Sequence[str],
    stop_code: StopCode | None = None,
    needed: Decimal | None = None,
) -> str:
    """Return why a run waits and what the person can do, for the end of a command."""
    head = shown(reason or "It waits for you.", limit=LONG)
    rows = [f"  - {shown(choice)}" for choice in choices]
    lines = [f"[yellow]Stopped.[/] {head}", *(["You can:", *rows] if rows else [])]
    if stop_code is StopCode.OUT_OF_CREDITS:
        lines += how_to_top_up(needed or Decimal(0))
    if stop_code is StopCode.PROJECT_LIMIT:
        lines.append(f"Raise the limit with: bottega limit {project_id} CREDITS (or none)")
    if stop_code in SPEAK_UP:
        lines.append(f'Say something with: bottega say {project_id} "..."')
    if stop_code in {StopCode.TASK_STUCK, StopCode.GOING_IN_CIRCLES}:
        lines.append("On your own installation: put a stronger model at the end of IMPLEMENTER_MODELS before you go on")
    return "\n".join([*lines, f"Go on with: bottega resume {project_id}"])


def nobody_works(project_id: str) -> str:
    """Return what to do about a project that is ready and that nobody has taken up."""
    return f"[yellow]waits[/]    for somebody to work on it: a server (bottega serve), or bottega resume {project_id}"


def take_along(project_id: str) -> str:
    return f"\n[bold green]Delivered[/] Take it with: bottega download {project_id}"


def few_credits(*, available: Decimal, needed: Decimal) -> str:
    """Return what somebody with few credits should know before a build begins."""
    have, want = show_credits(available), show_credits(needed)
    return "\n".join(
        [
            f"You have {have} credits. Planning sets {want} aside and gives back what it does not use; with fewer, the",
            "model is asked to be brief, a reply that is cut is not charged, and the project waits for credits.",
            *how_to_top_up(needed),
        ]
    )


def how_to_top_up(needed: Decimal) -> list[str]:
    """Return how to get at least this many credits, for a person and for whoever runs the installation."""
    enough = max(int(needed.to_integral_value(rounding=ROUND_CEILING)), 100)
    return [
        "Buy credits with: bottega credits packages, then bottega credits buy PACKAGE",
        f"On your own installation: bottega credits grant {enough}",
    ]


def how_to_approve(project_id: str) -> str:
    return f'Approve it with: bottega say {project_id} go, or say what to change: bottega say {project_id} "..."'


def goes_on(project_ids: Sequence[str]) -> str:
    """Return what a top-up or a higher limit has set going."""
    rows = [f"  bottega resume {project_id}" for project_id in project_ids]
    head = "This project goes on" if len(rows) == 1 else f"These {len(rows)} projects go on"
    return "\n".join([f"{head} by itself where a server runs (bottega serve); otherwise with:", *rows])


def usage_notes(*, given: Decimal, bought: Decimal) -> str:
    """Return what the figures of a usage report mean."""
    return "\n".join(
        [
            "",
            "Revenue is every credit charged, at its value then, whatever paid for it: credits given away count too.",
            f"In this time {show_credits(given)} credits were given and {show_credits(bought)} bought.",
            "Cost includes the losses: calls cut off, failed or fenced are charged to nobody. Unbilled is revenue that",
            "no balance covered. Calls paid by a person's own key cost nothing here.",
        ]
    )


def account(
    *,
    available: Decimal,
    held: Sequence[tuple[str, Decimal]],
    waiting: Sequence[tuple[str, str, Decimal, Decimal | None]],
) -> str:
    """Return what an account has, holds and waits for. A run waiting: project id, title, its need, its limit's rest."""
    lines = [f"{show_credits(available)} credits are available."]
    if available < 0:
        lines = [f"The account is {show_credits(-available)} credits in debt; nothing is started until it is even."]
    if held:
        lines.append(f"{show_credits(sum((c for _, c in held), Decimal(0)))} more are set aside for calls under way:")
        lines += [f"  {show_credits(credits)}  {shown(title)}" for title, credits in held]
    for project_id, title, needed, left in waiting:
        limit = "" if left is None or left >= needed else f"; its limit leaves {show_credits(max(left, Decimal(0)))}"
        lines.append(f"Waits for {show_credits(needed)} credits: {shown(title)} ({project_id}){limit}")
    return "\n".join(lines)


MOVED = {
    "initial_grant": "first credits",
    "purchase": "bought",
    "usage_deduction": "used",
    "refund_clawback": "taken back: refunded",
    "dispute_clawback": "taken back: disputed",
    "dispute_reinstated": "given back: dispute won",
    "adjustment": "adjusted",
    "expiry": "expired",
}


def limited(*, limit: Decimal | None, spent: Decimal) -> str:
    if limit is None:
        return f"The project has no limit; {show_credits(spent)} credits are spent."
    said = f"The project may cost {show_credits(limit)} credits; {show_credits(spent)} are spent."
    return said if limit > spent else f"{said} Its next call to a model stops it."


def unanswered(*, project_id: str, questions: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return questions nobody was there to answer, and how to answer them: the end of a command without a terminal."""
    lines = ["[yellow]Stopped.[/] Some questions want an answer before planning:"]
    for number, (text, options) in enumerate(questions, start=1):
        lines += [f"  {number}. {shown(text, limit=LONG)}", *(f"     - {shown(option)}" for option in options)]
    lines.append(f"Answer with: bottega resume {project_id} --answers FILE (a JSON list, in this order)")
    return "\n".join([*lines, f"Or take the first of each: bottega resume {project_id} --yes"])


def answered(*, question: str, answer: str) -> str:
    return f"[dim]{shown(question, limit=LONG)}[/] {shown(answer, limit=LONG)}"


def todo(markdown: str) -> str:
    """Return a TODO list as a terminal shows it."""
    return shown_lines(markdown.replace("**", "").strip())


def quote(*, low: Decimal | None, high: Decimal | None, available: Decimal) -> str:
    if low is None or high is None:
        return "There is no quote for this plan."
    quoted = f"Quote: {show_credits(low)} to {show_credits(high)} credits; you have {show_credits(available)}."
    if available >= low:
        return quoted
    warning = (
        "[yellow]That may not be enough:[/] when they run out it stops, keeps everything, and goes on after a top-up."
    )
    return f"{quoted}\n{warning}"


def _of(task_key: str | None) -> str:
    return f"[blue]{task_key}[/]" if task_key else "README"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _some(paths: Sequence[str], limit: int = 3) -> str:
    some = ", ".join(shown(path) for path in paths[:limit])
    return some if len(paths) <= limit else f"{some} and {len(paths) - limit} more"


def _clause(text: str) -> str:
    """Return a sentence that another clause follows."""
    return shown(text).rstrip(".")


def shown(text: str, *, limit: int = SHORT) -> str:
    """Return others' text as one line that is safe to print as markup."""
    flat = " ".join(harmless(text).split())
    return _escaped(flat if len(flat) <= limit else flat[: limit - 1] + "…")


def shown_lines(text: str) -> str:
    """Return others' text line by line, safe to print as markup."""
    return "\n".join(_escaped(harmless(line)) for line in text.splitlines())


def _escaped(text: str) -> str:
    """Escape markup. A backslash at the end is doubled, which is right only before a tag: so one follows."""
    return escape(text) + ("[none][/none]" if text.endswith("\\") else "")


def harmless(text: str) -> str:
    """Drop what a terminal obeys or what reorders a line; joiners stay, emoji are made of them."""
    return "".join(c for c in text if c in "\n\t\u200d" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"})


def reconciled(found: Findings) -> tuple[str, ...]:
    """Say what a round of questions about lost calls came to."""
    lines = (
        (found.swept, f"{_count(found.swept, 'call')} never came back: what was held for them is free again."),
        (
            found.reconciled,
            f"{_count(found.reconciled, 'lost call')} cost {found.reconciled_usd} USD, by the providers' own word.",
        ),
        (
            found.estimated,
            f"{_count(found.estimated, 'lost call')} cost about {found.estimated_usd} USD: their provider never tells.",
        ),
        (found.unknown, f"{_count(found.unknown, 'lost call')} are unknown to their provider; not asked again."),
        (found.waiting, f"{_count(found.waiting, 'lost call')} have no answer yet: run this again later."),
    )
    said = tuple(sentence for count, sentence in lines if count)
    return (*said, "Nobody was charged.") if said else ("No lost call is waiting for its price.",)
