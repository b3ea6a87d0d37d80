"""From a brief to a project that works, over HTTP alone: `bottega serve` as a process, models over their own wires."""

import asyncio
import io
import json
import signal
import subprocess
import sys
import uuid
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from bottega.access import personal_tokens
from bottega.access.personal_tokens import WantedToken
from bottega.access.types import Identity, Role, Scope
from bottega.billing.audit import audit
from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.db.transaction import Database
from bottega.llm.types import ModelName
from tests.database import MakeUser
from tests.entrypoints.cli.conftest import Environment, command, environment
from tests.entrypoints.relay.conftest import client
from tests.fakes.providers import Ask, FakeProviders, Reply
from tests.journeys import scripts
from tests.journeys.test_wire import purpose
from tests.waiting import when

__all__ = ["environment"]

ARCHITECT, IMPLEMENTER = "google/gemini-of-the-test", "openrouter/fake/small"
SCOPES = frozenset({Scope.PROJECTS_READ, Scope.PROJECTS_WRITE, Scope.CREDITS_READ})
REPLIES = {**scripts.GOOD, "gather-1.md": scripts.gathered("Count characters too?")}


def answer(ask: Ask) -> Reply:
    return Reply(text=REPLIES[purpose(ask)])


@asynccontextmanager
async def served(environment: Environment) -> AsyncIterator[str]:
    """Run `bottega serve` until the block ends, and let it stop by itself."""
    process = await asyncio.create_subprocess_exec(
        *command("serve", "--port", "0"),
        env=environment.variables(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().split()[2].rstrip(";")
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def token_for(database: Database, user_id: int, *, scopes: frozenset[Scope] = SCOPES) -> str:
    rates = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
    async with database.transaction() as session:
        for name in (ARCHITECT, IMPLEMENTER):
            await set_price(session, model=ModelName.parse(name), rates=rates)
        maker = Identity(user_id=user_id, role=Role.PERSON, scopes=scopes)
        wanted = WantedToken(name="journey", scopes=scopes, days=1)
        return (await personal_tokens.create(session, maker=maker, wanted=wanted)).token


async def test_a_project_over_http_alone(
    database: Database, make_user: MakeUser, environment: Environment, tmp_path: Path
) -> None:
    person = await make_user(balance=Decimal(500))
    token = await token_for(database, person.id)
    async with FakeProviders() as fake:
        fake.answer = answer
        installation = Environment(
            database_url=environment.database_url,
            home=environment.home,
            settings=models(fake) | {"LOG_LEVEL": "ERROR"},
        )
        async with served(installation) as url, client(url, token=token) as http:
            project_id = await _begun(http)
            at = f"/v1/projects/{project_id}"
            told = asyncio.create_task(_followed(url, token, at))
            await _until(http, at, "questions")
            (question,) = (await http.get(f"{at}/questions")).json()["items"]
            answers = {"answers": [{"question_id": question["id"], "text": "No"}]}
            assert (await http.post(f"{at}/answers", json=answers)).status_code == 200
            await _until(http, at, "approval")
            assert (await http.post(f"{at}/plan/approve")).status_code == 200
            await _looped(http, project_id)
            archive = (await http.get(f"{at}/archive")).content
            link = (await http.post(f"{at}/download-links", json={})).json()["url"]
            async with client(url) as anybody:
                assert (await anybody.get("/download/" + link.rpartition("/")[2])).status_code == 200
            sequences = await asyncio.wait_for(told, timeout=20)
            assert sequences == list(range(1, (await http.get(at)).json()["event_sequence"] + 1))
    await asyncio.to_thread(_works, archive, tmp_path / "delivered")
    async with database.reading() as session:
        assert await audit(session) == ()


def models(fake: FakeProviders) -> dict[str, str]:
    return {
        "GOOGLE_API_KEY": "key-of-google",
        "GEMINI_BASE_URL": fake.gemini_url,
        "OPENROUTER_API_KEY": "key-of-openrouter",
        "OPENROUTER_BASE_URL": fake.openrouter_url,
        "ARCHITECT_MODEL": ARCHITECT,
        "IMPLEMENTER_MODELS": IMPLEMENTER,
    }


async def _begun(http: httpx2.AsyncClient) -> str:
    """Send the brief twice, as a client does that lost the answer."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first, again = [(await http.post("/v1/projects", json={"brief": scripts.BRIEF}, headers=key)) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    return str(first.json()["id"])


async def _until(http: httpx2.AsyncClient, at: str, stop_code: str) -> None:
    async def is_so() -> bool:
        return bool((await http.get(at)).json()["stop_code"] == stop_code)

    await when(is_so)


async def _looped(http: httpx2.AsyncClient, project_id: str) -> None:
    """Call the loop until it says `completed`."""
    for _ in range(20):
        ran = await http.post("/orchestrate/run-loop", json={"project_id": project_id})
        assert ran.status_code == 200, ran.text
        if ran.json()["result"]["message"].startswith("completed"):
            return
    raise AssertionError("it was never completed")


async def _followed(url: str, token: str, at: str) -> list[int]:
    """Follow the project over connections that are cut after three events each; return the numbers that came."""
    seen: list[int] = []
    async with client(url, token=token) as http:
        while True:
            last = {"Last-Event-ID": str(seen[-1] if seen else 0)}
            async with http.stream("GET", f"{at}/events", params={"until_end": True}, headers=last) as stream:
                if await _took(stream, seen, most=3):
                    return seen


async def _took(stream: httpx2.Response, seen: list[int], *, most: int) -> bool:
    """Take some numbers; tell whether the stream said that it is over."""
    taken = 0
    async for line in stream.aiter_lines():
        if line == "event: end":
            return True
        data: Any = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
        if "sequence" not in data or data["type"] == "step_started":
            continue
        seen.append(data["sequence"])
        taken += 1
        if taken == most:
            return False
    return False


def _works(archive: bytes, folder: Path) -> None:
    zipfile.ZipFile(io.BytesIO(archive)).extractall(folder)
    (project,) = (one for one in folder.iterdir() if one.is_dir())
    ran = subprocess.run([sys.executable, *scripts.TEST.split()[1:]], cwd=project, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
