"""`bottega serve`: a whole installation behind HTTP, and how it stops."""

import asyncio
import base64
import hashlib
import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from bottega.billing.prices import set_price
from bottega.billing.relay import RelayTokens
from bottega.bootstrap import App, open_app
from bottega.config import ModelSettings
from bottega.db.transaction import Database
from bottega.entrypoints.http.serve import serving_app
from bottega.entrypoints.relay.server import listen
from bottega.llm.types import CallObserver, Completion, CompletionRequest, FinishReason, Usage
from bottega.telemetry import metrics
from tests.billing.scene import Scene, set_scene
from tests.entrypoints.cli.conftest import Environment, Run, command
from tests.entrypoints.relay.conftest import RATES, SMALL, asking, chunks, client
from tests.fakes.providers import FakeProviders, Reply
from tests.journeys.conftest import settings_for

THINKING_SECONDS = 0.5


class Slow:
    """A model that begins at once and takes its time to end."""

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        if observer is not None:
            observer.received("well ")
        await asyncio.sleep(THINKING_SECONDS)
        return Completion(
            text="well thought",
            finish=FinishReason.STOP,
            usage=Usage(input_tokens=10, output_tokens=10),
            model=request.model,
            request_id="r",
        )


@pytest.fixture
async def scene(database: Database) -> Scene:
    made = await set_scene(database)
    async with database.transaction() as session:
        await set_price(session, model=SMALL, rates=RATES)
    return made


@pytest.fixture
async def app(scene: Scene, tmp_path: Path, database_url: str) -> AsyncIterator[App]:  # noqa: ARG001  # prices first
    models = ModelSettings(architect_model=str(SMALL), implementer_models=(str(SMALL),))
    async with open_app(settings_for(home=tmp_path, database_url=database_url, models=models), llm=Slow()) as made:
        yield made


async def token_of(scene: Scene) -> str:
    tokens = RelayTokens(database=scene.database)
    return (await tokens.issue(user_id=scene.user_id, project_id=scene.project_id, ttl_seconds=600)).token


async def begun(scene: Scene, *, calls: int) -> None:
    for _ in range(1000):
        if len(await scene.calls()) >= calls:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no call was begun")


async def test_a_call_in_flight_ends_before_the_server_does(app: App, scene: Scene) -> None:
    at = listen(host="127.0.0.1", port=0)
    async with client(f"http://127.0.0.1:{at.getsockname()[1]}", token=await token_of(scene)) as http:
        async with serving_app(app, at=at, grace_seconds=5):
            assert (await http.get("/readyz")).status_code == 200
            asked = asyncio.create_task(http.post("/v1/chat/completions", json=asking()))
            await begun(scene, calls=1)
        assert (await asked).json()["choices"][0]["message"]["content"] == "well thought"
    assert [call.status for call in await scene.calls()] == ["settled"]
    assert await scene.faults() == []


async def test_a_relayed_call_says_which_request_it_was_and_is_counted_once(app: App, scene: Scene) -> None:
    at = listen(host="127.0.0.1", port=0)
    url, charged = f"http://127.0.0.1:{at.getsockname()[1]}", metrics.value("bottega_credits_charged_total")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as said:
        async with serving_app(app, at=at, grace_seconds=5), client(url, token=await token_of(scene)) as http:
            answer = await http.post("/v1/chat/completions", json=asking())
    [call] = [line for line in said if line["event"] == "billing.call.done"]
    assert call["request_id"] == answer.headers["X-Request-Id"]
    assert (call["project_id"], call["purpose"]) == (str(scene.project_id), "relay")
    [row] = await scene.calls()
    assert metrics.value("bottega_credits_charged_total") - charged == pytest.approx(float(row.credits_charged))


async def test_a_call_whose_asker_has_gone_ends_before_the_server_does(app: App, scene: Scene) -> None:
    at = listen(host="127.0.0.1", port=0)
    url, token = f"http://127.0.0.1:{at.getsockname()[1]}", await token_of(scene)
    async with (
        serving_app(app, at=at, grace_seconds=5),
        client(url, token=token) as http,
        http.stream("POST", "/v1/chat/completions", json=asking(stream=True)) as leaving,
    ):
        await anext(leaving.aiter_text())
    assert [call.status for call in await scene.calls()] == ["settled"]
    assert await scene.faults() == []


async def test_a_call_that_takes_too_long_is_given_up_and_not_charged(app: App, scene: Scene) -> None:
    at = listen(host="127.0.0.1", port=0)
    async with client(f"http://127.0.0.1:{at.getsockname()[1]}", token=await token_of(scene)) as http:
        async with serving_app(app, at=at, grace_seconds=0):
            asked = asyncio.create_task(http.post("/v1/chat/completions", json=asking()))
            await begun(scene, calls=1)
        await asyncio.gather(asked, return_exceptions=True)
    assert [call.status for call in await scene.calls()] == ["orphan"]
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []


async def test_expired_holds_are_swept_while_it_serves(app: App, scene: Scene) -> None:
    await scene.hold("5", ttl_seconds=-1)
    async with serving_app(app, at=listen(host="127.0.0.1", port=0), grace_seconds=0):
        for _ in range(100):
            if (await scene.money())[1] == 0:
                break
            await asyncio.sleep(0.02)
    assert await scene.hold_states() == ["expired"]


async def test_a_token_from_the_command_line_works_and_a_signal_stops_the_server(
    environment: Environment, scene: Scene
) -> None:
    models = {"ARCHITECT_MODEL": str(SMALL), "IMPLEMENTER_MODELS": str(SMALL)}
    async with FakeProviders() as fake:
        fake.enqueue(Reply(text="one two three", piece_characters=4, pause_seconds=0.1))
        variables = environment.variables(**models, OPENROUTER_BASE_URL=fake.openrouter_url, OPENROUTER_API_KEY="k" * 9)
        process = await asyncio.create_subprocess_exec(
            *command("serve", "--port", "0"),
            env=variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("Serving on http://127.0.0.1:")
        url = line.split()[2].rstrip(";")
        async with client(url, token=await token_of(scene)) as http:
            asked = asyncio.create_task(http.post("/v1/chat/completions", json=asking(stream=True)))
            await begun(scene, calls=1)
            process.send_signal(signal.SIGTERM)
            stream = chunks((await asked).text)
        _, errors = await process.communicate()
    assert (stream.text, stream.done) == ("one two three", True)
    assert process.returncode == 0, errors.decode()
    assert "Traceback" not in errors.decode()
    assert [call.status for call in await scene.calls()] == ["settled"]


def test_a_port_that_is_taken_is_said(bottega: Run) -> None:
    with listen(host="127.0.0.1", port=0) as taken:
        result = bottega("serve", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "Cannot listen on 127.0.0.1" in result.stderr
    assert "Traceback" not in result.output


def test_production_serves_nobody_without_a_secret_for_tokens(bottega: Run) -> None:
    key = base64.b64encode(hashlib.sha256(b"a key of the test").digest()).decode()
    result = bottega("serve", "--port", "0", APP_ENV="production", API_KEY_ENCRYPTION_KEY=key)
    assert result.exit_code == 2
    assert "JWT_SECRET: it must be set in production" in result.stderr
    assert "Traceback" not in result.output
    assert "Serving on" not in result.stdout
