"""`bottega build`, `resume` and `refine`: one conversation at a terminal, which ends with the path of an archive."""

import json
import sys
import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from bottega.billing.prices import UnpricedModel
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.core.errors import AppError
from bottega.entrypoints.cli import delivery, dialogue, endings, words
from bottega.entrypoints.cli.running import fail, local_username, parse_project_id, run_app
from bottega.entrypoints.cli.screen import Screen
from bottega.entrypoints.cli.watching import Watching
from bottega.keys.store import providers_kept
from bottega.orchestration.events import DrivenElsewhere, Event, InLine, RunResumed
from bottega.orchestration.state import Phase, RunState, StopCode
from bottega.orchestration.views.standing import Status
from bottega.projects.tables import Question


class NoModels(AppError):
    code = "no_models"
    http_status = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    out: Path
    takes_recommended: bool
    answers: dialogue.Answers | None
    as_json: bool

    @property
    def may_ask(self) -> bool:
        return sys.stdin.isatty() and not self.as_json


def _options(command: Any) -> Any:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to stderr."),
        click.option("--answers", type=click.Path(path_type=Path), help="Answers as JSON: a list, or by question."),
        click.option("--yes", is_flag=True, help="Take every recommended answer and approve the plan."),
        click.option(
            "--out", type=click.Path(path_type=Path), default=Path(), help="Folder for the archive [default: here]."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("brief", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path), help="Read the brief from a file; - for stdin.")
@_options
def build(brief: str | None, file: Path | None, out: Path, yes: bool, answers: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Build a project from BRIEF, in your own words."""
    text = _read_brief(brief, file)
    settings = Settings.load()
    options = _checked(out=out, yes=yes, answers=answers, as_json=as_json)
    raise SystemExit(run_app(lambda app: start(app, text, options), settings=settings))


@click.command()
@click.argument("project")
@_options
def resume(project: str, out: Path, yes: bool, answers: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Go on with PROJECT (its id) from the step it stopped at."""
    project_id = parse_project_id(project)
    settings = Settings.load()
    options = _checked(out=out, yes=yes, answers=answers, as_json=as_json)
    raise SystemExit(run_app(lambda app: go_on(app, project_id, options), settings=settings))


@click.command()
@click.argument("project")
@click.argument("path")
@click.argument("instruction")
@_options
def refine(
    project: str,
    path: str,
    instruction: str,
    out: Path,
    yes: bool,  # noqa: FBT001
    answers: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Change the file at PATH of PROJECT (its id) as INSTRUCTION says, and deliver the project again."""
    project_id = parse_project_id(project)
    settings = Settings.load()
    options = _checked(out=out, yes=yes, answers=answers, as_json=as_json)
    asked = {"path": _as_text(path, what="path"), "instruction": _as_text(instruction, what="instruction")}

    async def work(app: App) -> int:
        user_id = await app.local_user(local_username())
        await require_models(app, user_id=user_id)
        await app.orchestrator.refine(user_id=user_id, project_id=project_id, channel="cli", **asked)
        return await Build(app=app, user_id=user_id, project_id=project_id, options=options).run()

    raise SystemExit(run_app(work, settings=settings))


def _read_brief(brief: str | None, file: Path | None) -> str:
    if (brief is None) == (file is None):
        fail('Say what to build: bottega build "a command line tool that ..." or bottega build --file brief.md')
    if file is None:
        return _as_text(brief or "", what="brief")
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        fail(f"The brief in {file} is not UTF-8 text.")
    except OSError as error:
        fail(f"The brief in {file} cannot be read: {error.strerror}.")


def _as_text(argument: str, *, what: str) -> str:
    try:
        argument.encode()
    except UnicodeEncodeError:  # how Python passes on bytes of an argument that are no text
        fail(f"The {what} is not UTF-8 text.")
    return argument


async def require_models(app: App, *, user_id: int) -> None:
    """Raise NoModels when a model that will be asked has no key, neither set nor kept."""
    if not app.settings.missing_keys():
        return
    async with app.database.transaction() as session:
        kept = await providers_kept(session, user_id=user_id)
    missing = app.settings.missing_keys(kept=kept)
    if missing:
        raise NoModels(words.NO_MODELS.format(missing=" and ".join(missing)))


def _checked(*, out: Path, yes: bool, answers: Path | None, as_json: bool) -> Options:
    delivery.require_writable(out)
    read = dialogue.read_answers(answers) if answers else None
    return Options(out=out, takes_recommended=yes, answers=read, as_json=as_json)


async def start(app: App, brief: str, options: Options) -> int:
    """Begin a project; return the command's exit code."""
    user_id = await app.local_user(local_username())
    await require_models(app, user_id=user_id)
    project_id = await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=brief)
    await _warn_of_few_credits(app, user_id=user_id)
    return await Build(app=app, user_id=user_id, project_id=project_id, options=options).run()


async def _warn_of_few_credits(app: App, *, user_id: int) -> None:
    """Say before anything is paid for that planning will have to make do with a short reply."""
    available = await app.available_credits(user_id)
    try:
        needed = await app.credits_for_a_plan()
    except UnpricedModel:
        return  # the first step stops for it, with the way out
    if available < needed:
        click.echo(words.few_credits(available=available, needed=needed), err=True)


async def go_on(app: App, project_id: uuid.UUID, options: Options, *, username: str | None = None) -> int:
    """Go on with a project of this account (by default one's own); return the command's exit code."""
    user_id = await app.local_user(username or local_username())
    await require_models(app, user_id=user_id)
    state = await app.orchestrator.status(user_id=user_id, project_id=project_id)
    if state.state is not RunState.WAITING and state.phase is not Phase.FINISHED:
        await app.orchestrator.resume(user_id=user_id, project_id=project_id)
    build = Build(app=app, user_id=user_id, project_id=project_id, options=options)
    return await build.run(after=state.event_sequence, was_cut_off=state.state is RunState.READY)


class Build:
    """One project at one terminal."""

    def __init__(self, *, app: App, user_id: int, project_id: uuid.UUID, options: Options) -> None:
        self._app = app
        self._user_id = user_id
        self._project_id = project_id
        self._options = options
        self._screen = Screen(to_stderr=options.as_json)
        self._watching: Watching | None = None

    async def run(self, *, after: int | None = None, was_cut_off: bool = False) -> int:
        """Run until the project is delivered or needs the person; return the exit code.

        Shown is what happens after event number `after`, or from now on: by whichever process it is done.
        """
        self._screen.say(f"[dim]project {self._project_id}[/]")
        if was_cut_off:  # going on is no event then: the run never stopped
            self._screen.show(RunResumed())
        self._app.events.listen(self._tell_who_works)
        seen = (await self._status()).event_sequence if after is None else after
        self._watching = Watching(
            app=self._app, user_id=self._user_id, project_id=self._project_id, screen=self._screen, after=seen
        )
        with self._screen:
            async with self._watching as watching:
                status = await self._until_settled(watching)
        return await self._finish(status)

    def _tell_who_works(self, event: Event) -> None:
        if isinstance(
            event, DrivenElsewhere | InLine
        ):  # of this process alone; all else is read where every process writes it
            self._screen.show(event)

    async def _until_settled(self, watching: Watching) -> Status:
        while True:
            status = await self._status()
            if status.run_id is None:
                return status
            state = await self._app.runner.run(run_id=status.run_id)
            status = await self._status()
            await watching.reach(status.event_sequence)
            if state is not RunState.WAITING or not await self._answered(status):
                return status

    async def _status(self) -> Status:
        return await self._app.orchestrator.status(user_id=self._user_id, project_id=self._project_id)

    # -- what the person decides --------------------------------------------------------------------------------------

    async def _answered(self, status: Status) -> bool:
        """Get what the run waits for; False when nobody is there to give it."""
        self._screen.pause()
        try:
            if status.stop_code is StopCode.QUESTIONS:
                return await self._answer_questions()
            return await self._approve(status)
        finally:
            self._screen.go_on()

    async def _answer_questions(self) -> bool:
        questions = await self._app.orchestrator.questions(user_id=self._user_id, project_id=self._project_id)
        said: dict[uuid.UUID, str] = {}
        for position, question in enumerate(questions):
            answer = self._prepared_answer(question, position=position)
            if answer is not None:
                self._screen.say(words.answered(question=question.text, answer=answer))
            elif self._options.may_ask:
                answer = dialogue.ask(question, console=self._screen.console)
            else:  # nobody is there: `_why_stopped` lists what is open
                return False
            said[question.id] = answer
        await self._app.orchestrator.answer(user_id=self._user_id, project_id=self._project_id, answers=said)
        return True

    def _prepared_answer(self, question: Question, *, position: int) -> str | None:
        answer = None
        if self._options.answers is not None:
            answer = dialogue.given_answer(question, position=position, answers=self._options.answers)
        if answer is None and self._options.takes_recommended:
            answer = dialogue.recommended(question)
        return answer

    async def _approve(self, status: Status) -> bool:
        self._screen.say(f"{words.todo(status.todo_markdown)}\n")
        available = await self._app.available_credits(self._user_id)
        self._screen.say(words.quote(low=status.quote_low_credits, high=status.quote_high_credits, available=available))
        wish = "go" if self._options.takes_recommended else ""
        if not wish and self._options.may_ask:
            wish = dialogue.ask_go(console=self._screen.console)
        match wish.lower():
            case "go":
                await self._app.orchestrator.approve(user_id=self._user_id, project_id=self._project_id)
            case "" | "stop":
                return False
            case _:
                await self._app.orchestrator.change_plan(
                    user_id=self._user_id, project_id=self._project_id, channel="cli", wish=wish
                )
        return True

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _finish(self, status: Status) -> int:
        path = await self._delivered(status)
        if self._options.as_json:
            print(json.dumps(await self._as_json(status, path), indent=2))  # noqa: T201  # the one thing on stdout
        elif path:
            receipt = await self._app.orchestrator.receipt(user_id=self._user_id, project_id=self._project_id)
            self._screen.say("")
            self._screen.console.print(delivery.receipt_table(receipt))
            value = self._app.settings.billing.platform_credit_value_usd
            self._screen.say(f"[dim]{delivery.receipt_notes(receipt, credit_value_usd=value)}[/]")
            self._screen.say(f"\n[bold green]Delivered[/] {words.shown(str(path), limit=words.LONG)}")
        else:
            stopped = self._watching.stopped if self._watching else None
            said = await endings.why_stopped(self._app, status, user_id=self._user_id, stopped=stopped)
            self._screen.say(said)
        return endings.exit_code(status)

    async def _delivered(self, status: Status) -> Path | None:
        if status.archive_key is None or status.state is not RunState.DONE:
            return None
        return await delivery.write_archive(
            self._app, key=status.archive_key, title=status.title, project_id=self._project_id, out=self._options.out
        )

    async def _as_json(self, status: Status, path: Path | None) -> dict[str, Any]:
        open_questions = await endings.unanswered(self._app, status, user_id=self._user_id)
        tasks = await self._app.orchestrator.tasks(user_id=self._user_id, project_id=self._project_id)
        return {
            "project_id": str(self._project_id),
            "status": status.status,
            "reason": status.reason,
            "questions": [{"text": question.text, "options": question.options} for question in open_questions],
            "files": await self._app.orchestrator.file_paths(user_id=self._user_id, project_id=self._project_id),
            "zip": str(path) if path else None,
            "credits": _text(status.credits_charged),
            "quote": [_text(status.quote_low_credits), _text(status.quote_high_credits)],
            "tasks": [{"key": t.key, "title": t.title, "status": t.status, "attempts": t.attempts} for t in tasks],
        }


def _text(credits: Decimal | None) -> str | None:
    return None if credits is None else f"{credits:f}"
