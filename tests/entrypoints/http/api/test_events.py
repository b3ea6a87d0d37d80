"""Events over SSE: resumed where they were left, over connections that break, and ended with the project."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from bottega.core.clock import SystemClock
from bottega.entrypoints.http.api import streams as streams_module
from bottega.entrypoints.http.api.streams import Streams
from bottega.orchestration.state import RunState
from tests.entrypoints.http.api.conftest import Installation, Person, installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    id: int | None
    event: str
    data: Any


@asynccontextmanager
async def stream(person: Person, path: str, **given: Any) -> AsyncIterator[AsyncIterator[Said | None]]:
    """Yield the events of a stream; None for a comment."""
    async with person.http.stream("GET", path, **given) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield read(answer)


async def read(answer: httpx2.Response) -> AsyncIterator[Said | None]:
    block: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line.startswith(":"):
            yield None
        elif line:
            name, _, value = line.partition(": ")
            block[name] = value
        elif "event" in block:
            number = int(block["id"]) if "id" in block else None
            yield Said(id=number, event=block["event"], data=json.loads(block["data"]))
            block = {}


@pytest.mark.slow
async def test_a_reader_that_comes_back_again_and_again_misses_nothing(here: Installation, ada: Person) -> None:
    project_id = await here.planned(ada)
    at, seen, last = f"/v1/projects/{project_id}/events", list[Said](), 0
    await ada.post(f"/v1/projects/{project_id}/plan/approve")
    work = asyncio.create_task(here.drive(project_id, user_id=ada.id))
    is_over = False
    while not is_over:
        headers, taken = {"Last-Event-ID": str(last)}, 0
        async with stream(ada, at, headers=headers, params={"until_end": True}) as events:
            async for said in events:  # two events, and the connection is gone
                if said is None or said.event == "step_started":
                    continue
                if said.event == "end":
                    is_over = True
                    break
                assert said.id is not None
                seen.append(said)
                last, taken = said.id, taken + 1
                if taken == 2:
                    break
    assert await work is RunState.DONE
    assert [said.id for said in seen] == list(range(1, len(seen) + 1))
    assert [said.event for said in seen][-1] == "delivered"
    whole = await here.app.orchestrator.status(user_id=ada.id, project_id=project_id)
    assert whole.event_sequence == len(seen)
    assert all(said.data["sequence"] == said.id and said.data["type"] == said.event for said in seen)


async def test_silence_is_filled_and_the_stream_ends_in_time(tmp_path: Any, database_url: str) -> None:
    streams = Streams(clock=SystemClock(), heartbeat_seconds=0.05, longest_seconds=0.3)
    async with installed(home=tmp_path / "home", database_url=database_url, streams=streams) as here:
        ada = await here.person()
        project_id = await ada.begin()
        async with stream(ada, f"/v1/projects/{project_id}/events") as events:
            came = [said async for said in events]
    assert came.count(None) >= 2
    assert [said.event for said in came if said] == ["project_started"]


async def test_a_cancelled_project_ends_the_stream_that_asked_for_it(ada: Person) -> None:
    project_id = await ada.begin()
    async with stream(ada, f"/v1/projects/{project_id}/events", params={"until_end": "true"}) as events:
        assert (await anext(events)) is not None
        await ada.post(f"/v1/projects/{project_id}/cancel")
        async with asyncio.timeout(10):
            assert [said.event async for said in events if said][-1] == "end"


async def test_the_server_stops_and_nobody_waits_for_readers(here: Installation, ada: Person) -> None:
    project_id = await ada.begin()
    async with stream(ada, f"/v1/projects/{project_id}/events") as events:
        await anext(events)
        here.streams.closing.set()
        async with asyncio.timeout(2):
            assert [said async for said in events] == []


async def test_many_readers_cost_one_connection_that_listens(here: Installation, ada: Person) -> None:
    project_id = await ada.begin()
    at = f"/v1/projects/{project_id}/events"
    readers = [stream(ada, at) for _ in range(streams_module.AT_ONCE)]
    opened = [await reader.__aenter__() for reader in readers]
    first = [await anext(events) for events in opened]
    assert {said.event for said in first if said} == {"project_started"}
    async with here.app.database.reading() as session:
        listening = await session.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'")
        )
    assert listening == 1
    assert (await ada.get(at, status=429))["code"] == "too_many_streams"
    for reader in readers:
        await reader.__aexit__(None, None, None)
    for _ in range(100):
        if not here.streams._open:
            break
        await asyncio.sleep(0.02)
    async with stream(ada, at) as events:
        assert await anext(events)


async def test_a_place_that_is_none_is_refused(ada: Person) -> None:
    at = f"/v1/projects/{await ada.begin()}/events"
    for place in ("-1", "x", "1e3", "99999999999999999999", ""):
        assert (await ada.http.get(at, headers={"Last-Event-ID": place})).status_code == 422
