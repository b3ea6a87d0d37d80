"""Calls under way: each in a task of its own, so that no request that ends can end a call that costs.

Who hangs up in the middle has still asked: the call goes on to its end and is paid for. What a call says goes to a
`Feed`, which at most one reader follows; the feed's last word is an `Answer` or an AppError, always.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from bottega.core.errors import AppError
from bottega.entrypoints.relay.desk import Answer
from bottega.entrypoints.relay.faults import BrokenReply, CallDefect, CallEnded, TooManyCalls
from bottega.llm.dialect import mend_text
from bottega.llm.types import Usage

CALLS_PER_TOKEN, CALLS_IN_ALL = 4, 64

log = structlog.get_logger()

Word = str | Answer | AppError


class Feed:
    """What a call says while it is under way. It is the call's observer where the reply is streamed."""

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._words: asyncio.Queue[Word] = asyncio.Queue()
        self._said = ""
        self._half = ""  # of a surrogate pair, whose other half is in the next piece

    async def next(self) -> Word:
        """Wait for more of the reply, or for its end."""
        return await self._words.get()

    def close(self) -> None:
        """Nobody reads any more."""
        self._streamed = False

    def identified(self, request_id: str) -> None:
        pass

    def received(self, text: str) -> None:
        if not self._streamed:
            return
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        self._say(mend_text(text.removesuffix(self._half) if self._half else text))

    def counted(self, usage: Usage, *, cost_usd: object) -> None:
        pass

    def end(self, word: Answer | AppError) -> None:
        """Say what is missing of the reply, then how it ended."""
        if isinstance(word, Answer) and self._streamed:
            if not word.completion.text.startswith(self._said):
                word = BrokenReply()
            else:
                self._say(word.completion.text[len(self._said) :])
        self._words.put_nowait(word)

    def _say(self, text: str) -> None:
        if text:
            self._said += text
            self._words.put_nowait(text)


class Calls:
    def __init__(self, *, per_token: int = CALLS_PER_TOKEN, in_all: int = CALLS_IN_ALL) -> None:
        self._per_token = per_token
        self._in_all = in_all
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._counts: Counter[str] = Counter()

    def start(self, work: Callable[[Feed], Awaitable[Answer]], *, name: str, streamed: bool) -> Feed:
        """Begin a call for the account of this name and return its feed.

        Raises:
            TooManyCalls
        """
        if len(self._tasks) >= self._in_all:
            raise TooManyCalls(limit=self._in_all, whose="on this server")
        if self._counts[name] >= self._per_token:
            raise TooManyCalls(limit=self._per_token, whose="with this token")
        feed = Feed(streamed=streamed)
        task = asyncio.create_task(_follow(work, feed), name="relay call")
        self._tasks[task] = name
        self._counts[name] += 1
        task.add_done_callback(self._forget)
        return feed

    async def drain(self, *, within_seconds: float) -> None:
        """Let calls under way end; give up those that take longer."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=within_seconds)
        await self._cancel(list(self._tasks))

    async def cancel(self, name: str) -> None:
        """End an account's calls and wait until they have."""
        await self._cancel([task for task, owner in self._tasks.items() if owner == name])

    async def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        name = self._tasks.pop(task)
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]


async def _follow(work: Callable[[Feed], Awaitable[Answer]], feed: Feed) -> None:
    """Do the work; whatever becomes of it is the feed's last word."""
    try:
        feed.end(await work(feed))
    except asyncio.CancelledError:
        feed.end(CallEnded())
        raise
    except AppError as error:
        feed.end(error)
    except Exception:  # a task's edge: its reader gets a kind sentence, and the rest is in the log
        error_id = uuid.uuid4().hex[:12]
        log.exception("relay.call.failed", error_id=error_id)
        feed.end(CallDefect(error_id=error_id))
