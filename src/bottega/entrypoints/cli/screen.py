"""The screen of a build: a progress bar at the bottom and one line per event above it; plain lines when piped."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bottega.entrypoints.cli import words
from bottega.orchestration.events import Event, PlanReady, StepStarted, TaskDone

BEFORE, AFTER = 2, 3  # steps before the first task and after the last


class Screen:
    """Render events. `quiet` shows nothing but what `say` is told."""

    def __init__(self, *, to_stderr: bool) -> None:
        self.console = Console(stderr=to_stderr, highlight=False, emoji=False)
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._bar = self._progress.add_task("starting", total=None)
        self._tasks = 0
        self._done = 0
        self._position = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def pause(self) -> None:
        """Take the bar away while a question is on the screen."""
        self._progress.stop()

    def go_on(self) -> None:
        self._progress.start()

    def show(self, event: Event) -> None:
        """Move the bar, and print the event's line if it has one."""
        match event:
            case StepStarted():
                self._started(event)
            case PlanReady():
                self._tasks = len(event.tasks)
            case TaskDone():
                self._done += 1
            case _:
                pass
        text = words.line(event)
        if text:
            self.say(f"{self._prefix()}{text}")

    def say(self, text: str) -> None:
        """Print a text of ours, which may hold markup; what people and models wrote in it must be escaped."""
        self.console.print(text, soft_wrap=not self.console.is_terminal)

    def _started(self, event: StepStarted) -> None:
        self._tasks = max(self._tasks, event.total)
        self._done = max(self._done, event.position)
        total = (BEFORE + self._tasks * 4 + AFTER) if self._tasks else None
        self._position = self._place(event)
        self._progress.update(self._bar, total=total, completed=self._position, description=words.doing(event))

    def _place(self, event: StepStarted) -> int:
        order = {"gather": 0, "plan": 1, "readme": 2, "check_readme": 3, "commit_readme": 4, "package": 4}
        within = {"implement": 0, "check": 1, "verify": 2, "commit": 3}
        if event.kind in within:
            return BEFORE + self._done * 4 + within[event.kind]
        return order[event.kind] + (self._tasks * 4 if event.kind not in {"gather", "plan"} else 0)

    def _prefix(self) -> str:
        if self.console.is_terminal or not self._tasks:
            return ""
        return f"\\[{self._done}/{self._tasks}] "
