"""Readers of events that stop reading, are slow, or are gone: what they cost the server, and what they get."""

import asyncio
import re
import socket
import struct
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from bottega.db.transaction import note
from bottega.orchestration.progress import News
from bottega.orchestration.views import live
from tests.entrypoints.http.api.conftest import Installation, Person, installed
from tests.entrypoints.http.api.test_events import Said, stream
from tests.waiting import when

MIB = 1024 * 1024  # the kernel takes up to four of what nobody reads
_ID = re.compile(rb"id: (\d+)\nevent: \w+\ndata: [^\n]*\n\n")


@dataclass(kw_only=True)
class Reader:
    """A program that reads from its socket when it is told to, and not before. What it does not read, fills little."""

    socket: socket.socket
    came: bytearray = field(default_factory=bytearray)

    async def read(self, *, until: bytes = b"", pause_seconds: float = 0.0) -> None:
        """Read until something came whole, or the connection ended."""
        loop = asyncio.get_running_loop()
        found, looked_at = -1, 0
        while not until or found < 0 or not self.came.endswith(b"\n\n\r\n"):
            some = await loop.sock_recv(self.socket, 32 * 1024)
            if not some:
                return
            self.came += some
            found = self.came.find(until, looked_at) if found < 0 else found
            looked_at = max(0, len(self.came) - len(until))
            await asyncio.sleep(pause_seconds)

    @property
    def ids(self) -> list[int]:
        return [int(number) for number in _ID.findall(bytes(self.came))]

    def vanish(self) -> None:
        """Be gone as a program is that was killed: without a goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@asynccontextmanager
async def reader(here: Installation, person: Person, path: str, *, buffer_bytes: int = 4096) -> AsyncIterator[Reader]:
    """Ask for a stream, and read its head alone."""
    at = urlsplit(here.url)
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        connection.setblocking(False)
        await loop.sock_connect(connection, (at.hostname, at.port))
        token = person.http.headers["authorization"]
        head = f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: {token}\r\n\r\n"
        await loop.sock_sendall(connection, head.encode())
        made = Reader(socket=connection)
        await made.read(until=b"retry: ")
        yield made


async def written(here: Installation, project_id: uuid.UUID, *, events: int, size_bytes: int = 2000) -> int:
    """Let a project tell many things, a tenth at a time; return the number of the last."""
    last = 0
    for _ in range(10):
        given = {"project_id": project_id, "more": events // 10, "size": size_bytes}
        async with here.app.database.transaction() as session:
            last = (await session.execute(_WRITE, given)).scalar_one()
            note(session, News(project_id=project_id))
        await asyncio.sleep(0.01)
    return last


_WRITE = text(
    """
    WITH told AS (
        INSERT INTO run_events (project_id, sequence, type, payload)
        SELECT id, event_sequence + number, 'provider_trouble', jsonb_build_object(
            'message', repeat('x', :size), 'retry_seconds', 1, 'next_model', NULL
        ) FROM projects, generate_series(1, :more) AS number WHERE id = :project_id
    )
    UPDATE projects SET event_sequence = event_sequence + :more WHERE id = :project_id RETURNING event_sequence
    """
)


def nobody_reads(here: Installation) -> bool:
    return not here.streams._open and not here.app.live._feeds


async def test_one_that_stops_reading_costs_little_and_gets_all_of_it_later(here: Installation, ada: Person) -> None:
    project_id = await ada.begin()
    async with reader(here, ada, f"/v1/projects/{project_id}/events") as slow:
        await written(here, project_id, events=100)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            last = await written(here, project_id, events=3000)
            await asyncio.sleep(0.2)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        grown = after - before
        assert grown < 3 * MIB, f"{grown / MIB:.1f} MiB for what one reader did not read of 6 MiB"
        at_hand = len(here.app.database.autocommit._at_hand)  # whoever comes next takes one of these
        assert here.app.database.engine.pool.checkedout() == at_hand  # type: ignore[attr-defined]
        await slow.read(until=f"id: {last}\n".encode())
        assert slow.ids == list(range(1, last + 1))


async def test_one_that_vanishes_is_noticed(here: Installation, ada: Person) -> None:
    """While nothing is told, and while the server would tell more than anybody takes."""
    project_id = await ada.begin()
    at = f"/v1/projects/{project_id}/events"
    for events in (0, 800):
        for leave in (Reader.vanish, lambda gone: gone.socket.close()):
            async with reader(here, ada, at) as gone:
                await written(here, project_id, events=events, size_bytes=8000)
                assert not nobody_reads(here)
                leave(gone)
                async with asyncio.timeout(3):
                    await when(lambda: _so(nobody_reads(here)))


async def _so(it_is: bool) -> bool:  # noqa: FBT001  # what `when` asks for
    return it_is


async def test_one_that_takes_nothing_is_hung_up_upon_and_one_that_is_slow_is_not(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(home=tmp_path / "home", database_url=database_url, stalled_seconds=0.4) as here:
        ada = await here.person()
        project_id = await ada.begin()
        at = f"/v1/projects/{project_id}/events"
        async with reader(here, ada, at) as stalled, reader(here, ada, at, buffer_bytes=64 * 1024) as slow:
            last = await written(here, project_id, events=500, size_bytes=8000)
            async with asyncio.timeout(10):
                await slow.read(until=f"id: {last}\n".encode(), pause_seconds=0.01)
            assert slow.ids == list(range(1, last + 1))
            assert here.streams._open == {ada.id: 1}
            await stalled.read()
            assert not stalled.came.endswith(b"0\r\n\r\n"), "it was told that this was all"
            seen = stalled.ids
            assert seen == list(range(1, len(seen) + 1))
        async with stream(ada, at, headers={"Last-Event-ID": str(seen[-1])}) as events:
            rest = [(await anext(events)).id for _ in range(last - len(seen))]  # type: ignore[union-attr]
        assert rest == list(range(len(seen) + 1, last + 1))


async def test_the_server_stops_at_once_though_somebody_stopped_reading(tmp_path: Path, database_url: str) -> None:
    async with installed(home=tmp_path / "home", database_url=database_url, grace_seconds=20) as here:
        ada = await here.person()
        project_id = await ada.begin()
        stalled, little = [reader(here, ada, f"/v1/projects/{project_id}/events") for _ in range(2)]
        await stalled.__aenter__()
        await written(here, project_id, events=800, size_bytes=8000)
        await little.__aenter__()
        began = time.monotonic()
    assert time.monotonic() - began < 5


async def test_whoever_comes_back_at_any_event_gets_the_rest_once(
    here: Installation, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAGE", 4)  # so that a short history has many pages, and its end is at hand
    project_id = await here.planned(ada)
    at = f"/v1/projects/{project_id}/events"
    async with stream(ada, at):
        await written(here, project_id, events=10, size_bytes=1)
        await ada.post(f"/v1/projects/{project_id}/cancel")
        last = (await ada.get(f"/v1/projects/{project_id}"))["event_sequence"]
        assert last > 12
        for place in range(last + 1):
            headers = {"Last-Event-ID": str(place)}
            async with stream(ada, at, params={"until_end": "true", "after": "0"}, headers=headers) as events:
                came: list[Said] = [said async for said in events if said is not None]
            assert [said.id for said in came] == [*range(place + 1, last + 1), None], place
            assert came[-1].event == "end"
