"""A project's events as Server-Sent Events: in order, none missing and none twice, over any number of connections.

Each event's id is its number in the project; whoever comes back with `Last-Event-ID` gets what came after it. The step
under way comes without an id: it is not kept, and nothing is resumed from it. A reader that is slow keeps its place and
nothing else, and however many there are, one connection to the database listens for all of them.
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from bottega.entrypoints.http.api.house import House, Reader, TheHouse
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import LARGEST_ID, ProjectId, problems
from bottega.entrypoints.http.identity import Caller
from bottega.orchestration.views.live import Told
from bottega.projects.service import UnknownProject
from bottega.projects.status import FINAL

router = APIRouter(prefix="/v1/projects/{project_id}", tags=["Events"], route_class=ApiRoute)

RETRY_MS = 2000
LOOK_FOR_THE_END_SECONDS = 2.0
STILL_THERE = b": still there\n\n"
END = b"event: end\ndata: {}\n\n"
_EXAMPLE = 'id: 7\nevent: task_done\ndata: {"sequence": 7, "type": "task_done", "at": "...", "payload": {...}}\n\n'


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


_ANSWER = {
    "description": "`data` is JSON: sequence, type, at, payload. Comments keep the connection open.",
    "content": {"text/event-stream": {"example": _EXAMPLE}},
}


@router.get("/events", response_class=EventStream, response_model=None, responses={200: _ANSWER, **problems(404)})
async def follow_events(
    project_id: ProjectId,
    who: Reader,
    house: TheHouse,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="Begin after this number.")] = 0,
    *,
    until_end: Annotated[bool, Query(description="End when the project is finished, with the event `end`.")] = False,
    last_event_id: Annotated[
        int | None, Header(alias="Last-Event-ID", ge=0, le=LARGEST_ID, description="Stronger than `after`.")
    ] = None,
) -> Response:
    """Follow a project. The stream ends after 15 minutes: come back with the last id, as any EventSource does."""
    house.streams.require_room(user_id=who.user_id)
    now = await house.browser.overview(user_id=who.user_id, project_id=project_id)
    seen = after if last_event_id is None else last_event_id
    end_after = now.event_sequence if until_end else None
    lines = _lines(house, who, project_id=project_id, after=seen, end_after=end_after)
    return EventStream(lines, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def _lines(
    house: House, who: Caller, *, project_id: ProjectId, after: int, end_after: int | None
) -> AsyncIterator[bytes]:
    """Yield what is sent. With `end_after` it ends with the project; before that event there is no need to look."""
    following = house.live.follow(user_id=who.user_id, project_id=project_id, after=after)
    every = house.streams.heartbeat_seconds
    every = every if end_after is None else min(every, LOOK_FOR_THE_END_SECONDS)
    seen = after
    with house.streams.one(user_id=who.user_id):
        yield f"retry: {RETRY_MS}\n\n".encode()
        try:
            async for told in house.streams.beating(following, every_seconds=every):
                if told is not None:
                    seen = told.sequence
                    yield _line(told)
                else:
                    yield STILL_THERE
                if end_after is not None and seen >= end_after and await _is_over(house, who, project_id, seen=seen):
                    yield END
                    return
        except UnknownProject:  # it was deleted meanwhile
            yield END


async def _is_over(house: House, who: Caller, project_id: ProjectId, *, seen: int) -> bool:
    now = await house.browser.overview(user_id=who.user_id, project_id=project_id)
    return now.status in FINAL and now.event_sequence <= seen


def _line(told: Told) -> bytes:
    kind = "unknown" if told.event is None else told.event.type
    payload = {} if told.event is None else told.event.payload()
    data = json.dumps({"sequence": told.sequence, "type": kind, "at": told.at.isoformat(), "payload": payload})
    head = "" if told.is_passing else f"id: {told.sequence}\n"
    return f"{head}event: {kind}\ndata: {data}\n\n".encode()
