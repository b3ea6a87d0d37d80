"""The relay's routes: an OpenAI-compatible server whose calls are made and paid for by somebody's token.

Until the first word of a reply, a failure is an HTTP status, unless the silence was so long that the stream had to be
opened; from then on it is an event with an error, and no [DONE].
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from bottega.core.clock import Clock
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.entrypoints.relay import wire
from bottega.entrypoints.relay.body import read_body
from bottega.entrypoints.relay.calls import Calls, Feed, Word
from bottega.entrypoints.relay.desk import Account, Answer, Desk
from bottega.entrypoints.relay.faults import MissingToken, UnknownModel, fault
from bottega.entrypoints.relay.wire import Asked, Heading
from bottega.llm.types import ModelName

BODY_LIMIT_BYTES = 4 * 1024 * 1024
SILENCE_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """What the routes need. `silence_seconds` is how long a stream may say nothing before it says that it lives."""

    desk: Desk
    models: tuple[ModelName, ...]
    calls: Calls
    clock: Clock
    silence_seconds: float = SILENCE_SECONDS


def relay_routes(relay: Relay) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.post("/chat/completions", response_model=None)
    async def chat(request: Request) -> Response:
        return await _told(_chat(relay, request))

    @router.get("/models", response_model=None)
    async def models(request: Request) -> Response:
        return await _told(_models(relay, request))

    return router


async def _told(work: Awaitable[Response]) -> Response:
    try:
        return await work
    except AppError as error:
        return _refusal(error)


def _refusal(error: AppError) -> Response:
    told = fault(error)
    return JSONResponse(told.body, status_code=told.status, headers=told.headers)


async def _models(relay: Relay, request: Request) -> Response:
    await relay.desk.admit(_token(request))
    return JSONResponse(wire.listing(relay.models))


async def _chat(relay: Relay, request: Request) -> Response:
    account = await relay.desk.admit(_token(request))
    asked = wire.parse(await read_body(request, limit_bytes=BODY_LIMIT_BYTES))
    if asked.request.model not in relay.models:
        raise UnknownModel(asked.model, known=", ".join(str(model) for model in relay.models))
    feed = relay.calls.start(_work(account, asked), name=account.name, streamed=asked.streamed)
    heading = Heading(
        id=f"chatcmpl-{new_id().hex}", created=int(relay.clock.now().timestamp()), model=str(asked.request.model)
    )
    try:
        return await (_streamed(relay, asked, feed, heading) if asked.streamed else _whole(feed, heading))
    except asyncio.CancelledError:
        feed.close()
        raise


def _work(account: Account, asked: Asked) -> Callable[[Feed], Awaitable[Answer]]:
    def work(feed: Feed) -> Awaitable[Answer]:
        # What nobody reads before its end may still be tried again, so nobody listens to it.
        return account.complete(asked, observer=feed if asked.streamed else None)

    return work


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise MissingToken
    return token.strip()


async def _whole(feed: Feed, heading: Heading) -> Response:
    match await feed.next():
        case Answer(completion=completion, credits=credits):
            return JSONResponse(heading.reply(completion, credits=credits))
        case AppError() as error:
            raise error
        case str():
            raise AssertionError("a feed that is not streamed says how the call ended, and nothing before")


async def _streamed(relay: Relay, asked: Asked, feed: Feed, heading: Heading) -> Response:
    first = await _next(feed, within_seconds=relay.silence_seconds)
    if isinstance(first, AppError):
        raise first
    return StreamingResponse(
        _events(relay, asked, feed, heading, first),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(relay: Relay, asked: Asked, feed: Feed, heading: Heading, first: Word | None) -> AsyncIterator[bytes]:
    word, is_first = first, True
    try:
        while True:
            match word:
                case None:
                    yield wire.STILL_THERE
                case str():
                    yield wire.event(heading.piece(word, first=is_first))
                    is_first = False
                case AppError():
                    yield wire.event(fault(word).body)
                    return
                case Answer():
                    for event in _ending(asked, heading, word, says_nothing=is_first):
                        yield event
                    return
            word = await _next(feed, within_seconds=relay.silence_seconds)
    finally:
        feed.close()


def _ending(asked: Asked, heading: Heading, answer: Answer, *, says_nothing: bool) -> list[bytes]:
    events = [wire.event(heading.piece("", first=True))] if says_nothing else []
    events.append(wire.event(heading.finish(answer.completion, credits=answer.credits)))
    if asked.with_usage:
        events.append(wire.event(heading.usage(answer.completion)))
    return [*events, wire.DONE]


async def _next(feed: Feed, *, within_seconds: float) -> Word | None:
    """Return what the call says next, or None when it has been silent for that long."""
    try:
        async with asyncio.timeout(within_seconds):
            return await feed.next()
    except TimeoutError:
        return None
