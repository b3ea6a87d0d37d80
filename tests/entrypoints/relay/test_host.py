"""A model lent to a tool: its own token, exactly this model, and nothing left when the loan ends."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bottega.billing.metering import Metering
from bottega.billing.prices import PriceBook
from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.entrypoints.relay.host import LocalRelay
from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import Completion, CompletionRequest, FinishReason, Purpose, Usage
from tests.billing.scene import MODEL, TERMS, set_scene
from tests.entrypoints.relay.conftest import asking, chunks, client, never

HERE = asking(model=str(MODEL))


@dataclass(kw_only=True)
class Plain:
    """A model that takes no observer."""

    says: str
    heard: list[CompletionRequest] = field(default_factory=list)

    async def complete(self, request: CompletionRequest) -> Completion:
        self.heard.append(request)
        return Completion(text=self.says, finish=FinishReason.STOP, usage=Usage(), model=request.model)


async def test_a_loan_reaches_exactly_the_model_that_was_lent() -> None:
    ours, theirs = Plain(says="ours"), Plain(says="theirs")
    async with (
        LocalRelay(models=[MODEL]) as relay,
        relay.lend(ours, purpose=Purpose.IMPLEMENT, session="s") as loan,
        relay.lend(theirs) as other,
    ):
        assert loan.base_url == other.base_url
        assert loan.base_url.startswith("http://127.0.0.1:")
        for lent, says in ((loan, "ours"), (other, "theirs")):
            async with client(lent.base_url, token=lent.token) as http:
                said = (await http.post("/chat/completions", json=HERE)).json()
                assert said["choices"][0]["message"]["content"] == says
                assert "bottega" not in said  # whoever lent it settles
                stream = chunks((await http.post("/chat/completions", json=HERE | {"stream": True})).text)
                assert (stream.text, stream.done) == (says, True)
                assert [m["id"] for m in (await http.get("/models")).json()["data"]] == [str(MODEL)]
    assert [(request.purpose, request.session) for request in ours.heard] == [(Purpose.IMPLEMENT, "s")] * 2


async def test_nothing_is_settled_before_the_lender_settles(database: Database) -> None:
    scene = await set_scene(database)
    metering = Metering(
        database=database,
        llm=ScriptedProvider(fallback=lambda _: "edited"),
        retry=never,
        terms=TERMS,
        clock=SystemClock(),
        prices=PriceBook(),
    )
    llm = metering.account(user_id=scene.user_id, project_id=scene.project_id, operation_key="step", lease_token=1)
    async with (
        LocalRelay(models=[MODEL]) as relay,
        relay.lend(llm) as loan,
        client(loan.base_url, token=loan.token) as http,
    ):
        for stream in (False, True):
            assert (await http.post("/chat/completions", json=HERE | {"stream": stream})).status_code == 200
    assert [call.status for call in await scene.calls()] == ["started", "started"]
    async with database.transaction() as session:
        await llm.settle(session)
    assert [call.status for call in await scene.calls()] == ["settled", "settled"]
    assert await scene.faults() == []


async def test_a_token_dies_with_its_loan() -> None:
    async with LocalRelay(models=[MODEL]) as relay, relay.lend(Plain(says="still here")):
        async with relay.lend(Plain(says="gone")) as loan:
            pass
        async with client(loan.base_url, token=loan.token) as http:
            assert (await http.post("/chat/completions", json=HERE)).status_code == 401
        async with client(loan.base_url, token="") as http:
            assert (await http.get("/models", headers={"Authorization": "Bearer anything"})).status_code == 401


async def test_calls_under_way_are_cancelled_when_the_loan_ends() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    class Endless:
        async def complete(self, _: CompletionRequest) -> Completion:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

    async with LocalRelay(models=[MODEL]) as relay, AsyncExitStack() as clients:
        async with relay.lend(Endless()) as loan:
            http = await clients.enter_async_context(client(loan.base_url, token=loan.token))
            asked = asyncio.create_task(http.post("/chat/completions", json=HERE))
            await began.wait()
        assert ended.is_set()
        answer = await asked
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "call_ended")


async def test_a_reply_that_began_twice_is_no_reply() -> None:
    class Stutters:
        async def complete(self, request: CompletionRequest, *, observer: object = None) -> Completion:
            observer.received("first try")  # type: ignore[attr-defined]
            return await Plain(says="second try").complete(request)

    async with (
        LocalRelay(models=[MODEL]) as relay,
        relay.lend(Stutters()) as loan,
        client(loan.base_url, token=loan.token) as http,
    ):
        stream = chunks((await http.post("/chat/completions", json=HERE | {"stream": True})).text)
    assert not stream.done
    assert stream.error is not None
    assert stream.error["code"] == "broken_reply"


async def test_a_half_character_waits_for_its_other_half() -> None:
    class Halves:
        async def complete(self, request: CompletionRequest, *, observer: object = None) -> Completion:
            for piece in ("ta", "da \ud83c", "\udf89", " \0", "!"):
                observer.received(piece)  # type: ignore[attr-defined]
            return await Plain(says="tada \U0001f389 \ufffd!").complete(request)

    async with (
        LocalRelay(models=[MODEL]) as relay,
        relay.lend(Halves()) as loan,
        client(loan.base_url, token=loan.token) as http,
    ):
        stream = chunks((await http.post("/chat/completions", json=HERE | {"stream": True})).text)
    assert (stream.text, stream.done) == ("tada \U0001f389 \ufffd!", True)


async def test_what_a_model_of_ours_does_wrong_is_said_kindly() -> None:
    class Broken:
        async def complete(self, _: CompletionRequest) -> Completion:
            raise ZeroDivisionError("secret of ours")

    async with (
        LocalRelay(models=[MODEL]) as relay,
        relay.lend(Broken()) as loan,
        client(loan.base_url, token=loan.token) as http,
    ):
        for stream in (False, True):
            answer = await http.post("/chat/completions", json=HERE | {"stream": stream})
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
            assert "secret" not in answer.text
