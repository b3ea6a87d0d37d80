"""What is said of a delivered project: what it is, how to run it, what it cost, and how to have it changed."""

from collections.abc import Sequence

from bottega.delivery.report import ReceiptLine
from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.types import Keyboard, Say
from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.markup import Html, joined
from bottega.entrypoints.telegram.words.projects import task_row
from bottega.entrypoints.telegram.words.values import Delivery, Named, Receipt
from bottega.entrypoints.telegram.words.voice import Voice, in_rows
from bottega.orchestration.state import TaskStatus

TASKS, LINES_OF_A_RECEIPT, FILES_ON_A_PAGE = 15, 20, 8
_SUMMARY, _COMMANDS = 500, 500


class DeliveryWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def delivered(self, delivery: Delivery) -> Say:
        """Return the message after the archive: what was made and checked, how to run it, what it cost."""
        tasks = self._voice.some(map(task_row, delivery.tasks), most=TASKS) if delivery.tasks else None
        html = joined(
            self._head(delivery),
            markup.block(delivery.summary, limit=_SUMMARY) if delivery.summary else None,
            joined(tasks, self._checked(delivery)),
            self._how_to_run(delivery),
            self._cost(delivery),
            self._voice.html("delivered-next"),
            between="\n\n",
        )
        return Say(html=html, keyboard=self._keyboard(delivery))

    def caption(self, delivery: Delivery) -> Say:
        """Return what stands under the archive: at most 1024 units."""
        size = self._size(delivery.size_bytes)
        contents = self._voice.html("delivered-files", files=delivery.files, size=size)
        return Say(html=joined(self._head(delivery), contents))

    def _head(self, delivery: Delivery) -> Html:
        message = "delivered-refinement" if delivery.is_refinement else "delivered"
        return self._voice.html(message, title=self._voice.title(delivery))

    def _checked(self, delivery: Delivery) -> Html:
        unchecked = sum(task.status is TaskStatus.UNCHECKED for task in delivery.tasks)
        return joined(
            self._voice.html("delivered-checks", count=delivery.checks_passed) if delivery.checks_passed else None,
            self._voice.html("delivered-unchecked", count=unchecked) if unchecked else None,
        )

    def _how_to_run(self, delivery: Delivery) -> Html:
        if not delivery.how_to_run:
            return self._voice.html("delivered-see-readme")
        shown = markup.commands(delivery.how_to_run, limit=_COMMANDS)
        return self._voice.html("delivered-run", commands=shown)

    def _cost(self, delivery: Delivery) -> Html:
        time = self._voice.duration(delivery.elapsed_seconds)
        if delivery.quote_high is None:
            return self._voice.html("delivered-cost", credits=delivery.credits_charged, time=time)
        quote = delivery.quote_high
        return self._voice.html("delivered-cost-of", credits=delivery.credits_charged, quote=quote, time=time)

    def _keyboard(self, project: Named) -> Keyboard:
        key = project.project_id
        return in_rows(
            [
                self._voice.button("button-download", buttons.Download(project_id=key)),
                self._voice.button("button-change-it", buttons.ChangeIt(project_id=key, page=0)),
                self._voice.button("button-receipt", buttons.ShowReceipt(project_id=key)),
                self._voice.button("button-new", buttons.NewProject()),
            ]
        )

    def receipt(self, receipt: Receipt) -> Say:
        """Return what a project cost, part by part; amounts are rounded here, and exact in the archive."""
        title = self._voice.title(receipt)
        if not receipt.lines:
            return self._voice.say("receipt-empty", title=title)
        rows = self._voice.some(map(self._receipt_row, receipt.lines), most=LINES_OF_A_RECEIPT)
        free = sum(line.calls_not_charged for line in receipt.lines)
        html = joined(
            self._voice.html("receipt", title=title),
            rows,
            joined(
                self._voice.html("receipt-total", credits=sum(line.credits for line in receipt.lines)),
                self._voice.html("receipt-free", count=free) if free else None,
            ),
            self._voice.html("receipt-exact"),
            between="\n\n",
        )
        return Say(html=html, keyboard=self._receipt_keyboard())

    def _receipt_row(self, line: ReceiptLine) -> Html:
        part = joined(
            markup.line(line.task_key, limit=8) if line.task_key else None,
            markup.line(line.title, limit=60),
            between=" ",
        )
        return self._voice.html("receipt-row", part=part, credits=line.credits, calls=line.calls)

    def _receipt_keyboard(self) -> Keyboard:
        history = self._voice.button("button-history", buttons.ShowHistory())
        return in_rows([history, self._voice.button("button-credits", buttons.ShowCredits())])

    def how_to_change(self, project: Named, *, paths: Sequence[str], page: int = 0) -> Say:
        """Offer the files of a delivered project (all of them, sorted) to be changed, a page at a time."""
        title = self._voice.title(project)
        if not paths:
            return self._voice.say("change-nothing", title=title)
        last = (len(paths) - 1) // FILES_ON_A_PAGE
        page = max(0, min(page, last))
        mark = buttons.paths_mark(paths)
        first = page * FILES_ON_A_PAGE
        files = [
            self._voice.button(
                "button-file",
                buttons.ChangeFile(project_id=project.project_id, index=index, mark=mark),
                path=_end_of(paths[index]),
            )
            for index in range(first, min(first + FILES_ON_A_PAGE, len(paths)))
        ]
        form = markup.code(f"refine file {paths[first]} in project {project.project_id} with instruction: …", limit=300)
        keyboard = (*in_rows(files, width=1), *self._turned(project, page=page, last=last))
        return self._voice.say("change-which", keyboard, title=title, count=len(paths), form=form)

    def _turned(self, project: Named, *, page: int, last: int) -> Keyboard:
        earlier, later = (
            buttons.ChangeIt(project_id=project.project_id, page=max(0, to)) for to in (page - 1, page + 1)
        )
        return in_rows(
            [
                self._voice.button("button-earlier", earlier) if page else None,
                self._voice.button("button-later", later) if page < last else None,
            ]
        )

    def change_asked(self, project: Named, *, path: str) -> Say:
        """Ask what to change in a file."""
        keyboard = in_rows([self._voice.button("button-never-mind", buttons.NeverMind())])
        shown = markup.code(path, limit=200)
        return self._voice.say("change-asked", keyboard, title=self._voice.title(project), path=shown)

    def files_changed(self, project: Named) -> Say:
        """Say that a list of files is out of date, and offer the one of now."""
        press = buttons.ChangeIt(project_id=project.project_id, page=0)
        keyboard = in_rows([self._voice.button("button-change-it", press)])
        return self._voice.say("change-list-old", keyboard, title=self._voice.title(project))

    def so_far(self, project: Named, *, files: int, size_bytes: int) -> Say:
        """Return what stands under the archive of a project that is not finished."""
        title, size = self._voice.title(project), self._size(size_bytes)
        return self._voice.say("archive-so-far", title=title, files=files, size=size)

    def again(self, project: Named) -> Say:
        """Return what stands under the archive of a delivered project that is sent once more."""
        return self._voice.say("archive-again", title=self._voice.title(project))

    def nothing_yet(self, project: Named) -> Say:
        """Answer a wish to download where nothing was accepted yet."""
        keyboard = in_rows([self._voice.button("button-status", buttons.ShowStatus(project_id=project.project_id))])
        return self._voice.say("archive-empty", keyboard, title=self._voice.title(project))

    def too_large(self, *, file_name: str, size_bytes: int) -> Say:
        """Say how to get an archive that is too large for Telegram where the installation has no page for it."""
        return self._voice.say("archive-too-large", name=file_name, size=self._size(size_bytes))

    def _size(self, size_bytes: int) -> Html:
        if size_bytes < 1_000_000:  # noqa: PLR2004  # a megabyte
            return self._voice.html("size-kilobytes", size=max(1, round(size_bytes / 1000)))
        return self._voice.html("size-megabytes", size=f"{size_bytes / 1_000_000:.1f}")


def _end_of(path: str) -> str:
    """Return a path as a button bears it: its end tells files apart."""
    flat = markup.plain(path, limit=2000)
    return flat if len(flat) <= markup.LABEL else "…" + flat[-(markup.LABEL - 5) :]
