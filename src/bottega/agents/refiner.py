"""Refining with a program of its own: Aider, when it is installed, works on a copy of the project and is not believed.

What it did is what differs afterwards; its exit code and its words say nothing. It runs behind a fence, in an empty
home, with no key and none of our settings: its one way to a model is a server that is lent to it for this one step,
where every call is the step's own metered one. It never outlives the step, and nothing it wrote outside survives it.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from bottega.agents.desk import Desk, DeskSpoiled, a_desk, is_shown
from bottega.agents.prompting import Prompts
from bottega.agents.rendering import DOCUMENTATION_BYTES, clip, clip_results, tree_text
from bottega.agents.types import Assignment, UnusableReply
from bottega.llm.types import LLM, Completion, CompletionRequest, ModelName, Purpose
from bottega.sandbox.fence import fenced

OUTPUT_TOKENS = 16_000
CALLS = 8  # the first, three corrections of its own, and as many again for a provider that stumbles
NOTE_BYTES = 16_384
_INPUT_TOKENS = 128_000
_END_SECONDS = 5.0
_FLAGS = (
    *("--yes-always", "--no-git", "--no-auto-commits", "--no-dirty-commits", "--no-gitignore", "--no-auto-lint"),
    *("--no-auto-test", "--no-stream", "--no-pretty", "--no-fancy-input", "--no-detect-urls", "--no-watch-files"),
    *("--no-suggest-shell-commands", "--no-check-update", "--no-show-release-notes", "--no-show-model-warnings"),
    *("--analytics-disable", "--disable-playwright", "--no-restore-chat-history", "--no-notifications"),
    *("--map-tokens", "0", "--edit-format", "diff", "--encoding", "utf-8"),
)


class RefinementUnusable(UnusableReply):
    """What came of it cannot be used; `reply` is what the program said, for the journal."""

    code = "refinement_unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """Where a borrowed model answers, in OpenAI's dialect, and the token that is good until it is given back.

    `base_url` is what `/chat/completions` is appended to; the token is shown as `Authorization: Bearer`.
    """

    base_url: str
    token: str = field(repr=False)


class ModelServer(Protocol):
    def lend(self, llm: LLM) -> AbstractAsyncContextManager[Loan]:
        """Serve exactly this model for the length of the block, to whoever shows the token.

        When the block ends, calls under way are ended and the token is worth nothing. What `llm` raises goes to the
        caller as an error of the dialect.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """All files of the project as they are now, and what was said on the way."""

    files: Mapping[str, str]
    note: str


class Refiner(Protocol):
    async def refine(self, *, assignment: Assignment, files: Mapping[str, str], llm: LLM, model: ModelName) -> Refined:
        """Do the task on a copy of `files`, asking `model` through `llm`.

        Raises:
            RefinementUnusable: nothing was changed, or something no project may hold.
        """
        ...


class AiderRefiner:
    """`command` is the program, `folder` where its desks stand, `server` its only way to a model."""

    def __init__(
        self, *, command: Path, server: ModelServer, prompts: Prompts, folder: Path, timeout_seconds: float
    ) -> None:
        self._command = command.absolute()
        self._installation = installation(self._command)
        self._server = server
        self._prompts = prompts
        self._folder = folder
        self._timeout_seconds = timeout_seconds

    async def refine(self, *, assignment: Assignment, files: Mapping[str, str], llm: LLM, model: ModelName) -> Refined:
        shown = {path: text for path, text in files.items() if is_shown(path)}
        hidden = {path: text for path, text in files.items() if path not in shown}
        if concealed := [path for path in assignment.task.files if not is_shown(path)]:
            raise RefinementUnusable(f"{concealed[0]} could not be opened by the editing program.", reply="")
        leash = _Leash(llm, assignment=assignment, model=model)
        with a_desk(self._folder) as desk:
            await asyncio.to_thread(desk.lay_out, shown)
            async with self._server.lend(leash) as loan:
                note, late = await self._work(desk, loan, leash, assignment=assignment, model=model, files=shown)
            if leash.fault is not None:
                raise leash.fault
            if late:
                raise RefinementUnusable(f"The work was ended after {self._timeout_seconds:g} s.", reply=note)
            after = await asyncio.to_thread(_collected, desk, note)
        if after == shown:
            raise RefinementUnusable("No file was changed. Edit the files so that the task is done.", reply=note)
        return Refined(files={**hidden, **after}, note=note)

    async def _work(
        self,
        desk: Desk,
        loan: Loan,
        leash: "_Leash",
        *,
        assignment: Assignment,
        model: ModelName,
        files: Mapping[str, str],
    ) -> tuple[str, bool]:
        """Let the program work; return what it said, and whether it had to be ended."""
        message = desk.home / "message.md"
        message.write_text(self._message(assignment), encoding="utf-8")
        metadata = desk.home / "models.json"
        metadata.write_text(json.dumps({f"openai/{model}": _METADATA}), encoding="utf-8")
        argv = fenced(
            [str(self._command), *_FLAGS, *_places(desk), *_names(assignment, model=model, files=files)],
            read=self._installation,
            write=[desk.folder],
        )
        process = await _started(argv, desk=desk, environment=_environment(desk, loan))
        output = _Output()
        try:
            late = await _ended_by_itself(process, output, leash, seconds=self._timeout_seconds)
        finally:
            await asyncio.shield(_ended(process))
        return output.note(secret=loan.token, folder=desk.folder), late

    def _message(self, assignment: Assignment) -> str:
        (message,) = self._prompts.messages(
            "refine",
            project_title=assignment.project_title,
            documentation=clip(assignment.documentation, limit_bytes=DOCUMENTATION_BYTES),
            task=assignment.task,
            tree=tree_text(assignment.tree),
            feedback=assignment.feedback,
            results=clip_results(assignment.results),
        )
        return message.content  # it begins with our own words: a message that began with / or ! would be a command


_METADATA: Mapping[str, object] = {
    "max_tokens": OUTPUT_TOKENS,
    "max_input_tokens": _INPUT_TOKENS,
    "max_output_tokens": OUTPUT_TOKENS,
    "input_cost_per_token": 0,
    "output_cost_per_token": 0,
    "litellm_provider": "openai",
    "mode": "chat",
}


def _collected(desk: Desk, note: str) -> dict[str, str]:
    try:
        return desk.collect()
    except DeskSpoiled as error:
        raise RefinementUnusable(error.complaint, reply=note) from error


def _places(desk: Desk) -> Sequence[str]:
    """Return the options that keep the program's own files out of the project, and the project's out of its way."""
    home = desk.home
    return (
        *("--message-file", str(home / "message.md"), "--model-metadata-file", str(home / "models.json")),
        *("--chat-history-file", str(home / "chat.md"), "--input-history-file", str(home / "input")),
        *("--env-file", str(home / "none"), "--aiderignore", str(home / "none")),
    )


def _names(assignment: Assignment, *, model: ModelName, files: Mapping[str, str]) -> Sequence[str]:
    """Return the model, and the files to edit and to read. A path never stands where an option could."""
    edited = [path for path in assignment.task.files if path in files]
    seen = dict.fromkeys(file.path for file in assignment.context if file.whole and file.path in files)
    options = [f"--file={path}" for path in edited] + [f"--file={path}" for path in seen if path not in edited]
    return ("--model", f"openai/{model}", "--weak-model", f"openai/{model}", *options)


def _environment(desk: Desk, loan: Loan) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(desk.home),
        "TMPDIR": str(desk.home),
        "LANG": "C.UTF-8",
        "OPENAI_API_BASE": loan.base_url,
        "OPENAI_API_KEY": loan.token,
        "NO_PROXY": "*",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it fetches a price list from GitHub
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class _Leash:
    """The model as the program may ask it: this one, for this task, a few times. The first fault ends the work."""

    def __init__(self, llm: LLM, *, assignment: Assignment, model: ModelName) -> None:
        self._llm = llm
        self._assignment = assignment
        self._model = model
        self._calls = 0
        self.fault: Exception | None = None
        self.broke = asyncio.Event()

    async def complete(self, request: CompletionRequest) -> Completion:
        try:
            self._count()
            return await self._llm.complete(self._bound(request))
        except Exception as error:
            self.fault = self.fault or error
            self.broke.set()
            raise

    def _count(self) -> None:
        self._calls += 1
        if self._calls > CALLS:
            raise RefinementUnusable(f"The task was not done within {CALLS} replies.", reply="")

    def _bound(self, request: CompletionRequest) -> CompletionRequest:
        return replace(
            request,
            model=self._model,
            max_output_tokens=OUTPUT_TOKENS,  # Aider does not say how much it wants
            purpose=Purpose.IMPLEMENT,
            subject=self._assignment.task.key,
            attempt=self._assignment.attempt,
            session=self._assignment.session,
            schema=None,
        )


# -- the process -------------------------------------------------------------------------------------------------------


class _Output:
    """The end of what a program printed; however much it is, no more than that is kept."""

    def __init__(self) -> None:
        self._end = b""

    async def read(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(65536):
            self._end = (self._end + piece)[-NOTE_BYTES:]

    def note(self, *, secret: str, folder: Path) -> str:
        """Return it as text that may be kept: printable, without the token and without our paths."""
        text = self._end.decode(errors="replace").replace(secret, "[token]").replace(str(folder), "")
        plain = _ESCAPES.sub("", text)
        return "".join(c for c in plain if c.isprintable() or c in "\n\t").strip()


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


async def _started(argv: Sequence[str], *, desk: Desk, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        cwd=desk.project,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


async def _ended_by_itself(
    process: asyncio.subprocess.Process, output: _Output, leash: _Leash, *, seconds: float
) -> bool:
    """Wait for its end, for a fault of the model or for the time limit; return whether it was the limit."""
    assert process.stdout is not None  # noqa: S101  # asked for above
    reading = asyncio.create_task(output.read(process.stdout))
    exiting = asyncio.create_task(process.wait())
    breaking = asyncio.create_task(leash.broke.wait())
    waits = (reading, exiting, breaking)
    try:
        done, _ = await asyncio.wait((exiting, breaking), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if exiting in done:
            await asyncio.wait((reading,), timeout=1.0)  # a child it left behind may keep the pipe open
        return not done
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kill the whole group: whatever it started ends with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        # what is still in the pipe must be read, or asyncio never notices that the process has ended
        await asyncio.wait_for(asyncio.gather(process.wait(), _discard(process)), _END_SECONDS)


async def _discard(process: asyncio.subprocess.Process) -> None:
    while process.stdout and await process.stdout.read(65536):
        pass


def installation(command: Path) -> tuple[Path, ...]:
    """Return what a program installed with Python needs to read: itself, its environment, its interpreter's library."""
    script = command.resolve()
    first = script.read_bytes()[:512].partition(b"\n")[0].decode(errors="replace")
    interpreter = Path(first.removeprefix("#!").strip())
    roots = {interpreter.parent.parent, interpreter.resolve().parent.parent} if interpreter.is_absolute() else set()
    return (script, *sorted(root for root in roots if root != Path("/") and (root / "lib").is_dir()))
