"""`make bench-api`: requests a second and their 99th percentile over HTTP, beside a bare route of the same framework.

The bare routes are FastAPI with asyncpg and one statement each: what nobody could leave out. Ours stand beside them in
one process, on one PostgreSQL with every write durable, and are asked in turn by 64 connections from this process: a
token that is looked up, limits, a request's id and log line, ownership, and for a message the engine with its
transaction. The ratio is that of the times a request takes.
"""

import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import fastapi
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url, text

from bottega.access import personal_tokens
from bottega.access.personal_tokens import WantedToken
from bottega.access.types import Identity, Role, Scope
from bottega.bootstrap import App, open_app
from bottega.config import BillingSettings, ModelSettings, PlatformSettings, Settings
from bottega.config.groups import AccessSettings
from bottega.core.log import configure_logging
from bottega.entrypoints.http.serve import serving_app
from bottega.entrypoints.relay.server import listen, serving
from bottega.llm.scripted import ScriptedProvider

CONNECTIONS, SECONDS, ROUNDS = 64, 4.0, 3
TARGET = 2.5
MODEL = "scripted/architect"
SCOPES = frozenset({Scope.PROJECTS_READ, Scope.PROJECTS_WRITE})
MESSAGE = json.dumps({"text": "Use tabs, not spaces"}).encode()
_PROJECT = """
SELECT id, title, description, status, event_sequence, CAST(actual_credit_cost AS text) AS credits, created_at
FROM projects WHERE id = $1 AND user_id = $2
"""
_SAY = """
INSERT INTO conversations (project_id, user_id, channel, role, content)
SELECT id, user_id, 'http', 'person', $3 FROM projects WHERE id = $1 AND user_id = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    rate: float
    p99_ms: float


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
        return
    console, load = Console(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bottega-bench-") as name, console.status("measuring"):
        Path(name).chmod(0o755)
        rows = asyncio.run(measured_all(Path(name)))
    table = Table("", "ours /s", "p99", "bare /s", "p99", "ratio", f"target {TARGET}", box=None)
    for what, ours, bare in rows:
        ratio = bare.rate / ours.rate
        told = (f"{ours.rate:,.0f}", f"{ours.p99_ms:.0f} ms", f"{bare.rate:,.0f}", f"{bare.p99_ms:.0f} ms")
        table.add_row(what, *told, f"{ratio:.2f}", "met" if ratio <= TARGET else "missed")
    console.print(table)
    console.print(f"{CONNECTIONS} connections, {os.cpu_count()} cores, load {load:.1f} before; medians of {ROUNDS}")


async def measured_all(folder: Path) -> list[tuple[str, Measured, Measured]]:
    """Ask ours and the bare one in turn, so that what else the machine does hurts both."""
    command = (sys.executable, "-m", "benchmarks.api", "serve", str(folder))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        at = json.loads(await process.stdout.readline())
        head = f"Host: x\r\nAuthorization: Bearer {at['token']}\r\n"
        path, post = (
            f"/v1/projects/{at['project_id']}",
            f"Content-Type: application/json\r\nContent-Length: {len(MESSAGE)}",
        )
        get_project = f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
        say = f"POST {path}/messages HTTP/1.1\r\n{head}{post}\r\n\r\n".encode() + MESSAGE
        told = []
        for what, request in (("GET a project", get_project), ("POST a message", say)):
            rounds = [[await measured(at[which], request) for which in ("ours", "bare")] for _ in range(ROUNDS)]
            told.append((what, *(median([each[n] for each in rounds]) for n in range(2))))
        return told  # type: ignore[return-value]
    finally:
        process.terminate()
        await process.wait()


def median(rounds: Sequence[Measured]) -> Measured:
    return Measured(
        rate=statistics.median(one.rate for one in rounds), p99_ms=statistics.median(one.p99_ms for one in rounds)
    )


async def measured(port: int, request: bytes) -> Measured:
    until = time.monotonic() + SECONDS
    began = time.monotonic()
    times = [
        t for one in await asyncio.gather(*(asking(port, request, until) for _ in range(CONNECTIONS))) for t in one
    ]
    elapsed = time.monotonic() - began
    return Measured(rate=len(times) / elapsed, p99_ms=statistics.quantiles(times, n=100)[98] * 1000)


async def asking(port: int, request: bytes, until: float) -> list[float]:
    """Ask again and again on one connection; return how long each answer took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = []
    while (began := time.monotonic()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        times.append(time.monotonic() - began)
    writer.close()
    return times


# -- the server's process ---------------------------------------------------------------------------------------------


async def serve(folder: Path) -> None:
    configure_logging(level="WARNING", json=True)
    often = AccessSettings(rate_limit_person="1000000/second", rate_limit_address="1000000/second")
    settings = replace(
        Settings.load(),
        platform=PlatformSettings(bottega_home=folder / "home"),
        models=ModelSettings(architect_model=MODEL, implementer_models=(MODEL,)),
        billing=BillingSettings(initial_credits=Decimal(100)),
        access=often,
    )
    async with open_app(settings, llm=ScriptedProvider(script={})) as app:
        user_id = await app.local_user("bench")
        project_id = await app.orchestrator.start_project(user_id=user_id, channel="http", brief="Something " * 50)
        async with app.database.transaction() as session:
            await session.execute(text("UPDATE runs SET wake_at = now() + interval '1 day'"))  # nobody works on it
            maker = Identity(user_id=user_id, role=Role.PERSON, scopes=SCOPES)
            made = await personal_tokens.create(
                session, maker=maker, wanted=WantedToken(name="bench", scopes=SCOPES, days=1)
            )
        ours, bare = listen(host="127.0.0.1", port=0), listen(host="127.0.0.1", port=0)
        async with serving_app(app, at=ours), bare_app(app, user_id=user_id, at=bare):
            told = {"ours": ours.getsockname()[1], "bare": bare.getsockname()[1], "project_id": str(project_id)}
            sys.stdout.write(json.dumps(told | {"token": made.token}) + "\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


@asynccontextmanager
async def bare_app(app: App, *, user_id: int, at: socket.socket) -> AsyncIterator[None]:
    url = make_url(str(app.database.engine.url.render_as_string(hide_password=False))).set(drivername="postgresql")
    application = fastapi.FastAPI()
    async with asyncpg.create_pool(url.render_as_string(hide_password=False), min_size=10, max_size=10) as pool:

        @application.get("/v1/projects/{project_id}")
        async def read(project_id: uuid.UUID) -> dict[str, Any]:
            return dict(await pool.fetchrow(_PROJECT, project_id, user_id))

        @application.post("/v1/projects/{project_id}/messages")
        async def say(project_id: uuid.UUID, message: dict[str, str]) -> dict[str, bool]:
            await pool.execute(_SAY, project_id, user_id, message["text"])
            return {"noted": True}

        async with serving(application, at=at, grace_seconds=0):
            yield


if __name__ == "__main__":
    main()
