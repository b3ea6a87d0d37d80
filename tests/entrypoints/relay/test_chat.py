"""What a tool sends and gets, over HTTP, and what is on the ledger after it."""

import asyncio
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest

from bottega.billing.receipt import receipt
from bottega.core.money import round_up_credits, usd_to_credits
from bottega.db.transaction import Database
from bottega.entrypoints.relay.calls import Calls
from bottega.orchestration.tables import Run
from tests.billing.scene import TERMS
from tests.entrypoints.relay.conftest import LARGE, SMALL, Counter, asking, at_once, chunks, client, counter
from tests.fakes.providers import Reply, blocked, failing, out_of_credit, rate_limited, wrong_content_type

SLOW = Reply(text="one two three four", piece_characters=4, pause_seconds=0.1)


def charge(relay: Counter) -> Decimal:
    """Return the credits for what the provider billed."""
    cost = sum((bill.cost_usd for bill in relay.fake.charged), Decimal(0))
    return round_up_credits(usd_to_credits(cost, credit_value_usd=TERMS.credit_value_usd, markup=TERMS.markup))


# -- replies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [SMALL, LARGE], ids=str)
async def test_a_plain_reply_is_openais_and_says_what_was_charged(relay: Counter, model: object) -> None:
    relay.fake.enqueue(Reply(text="good day", cached_tokens=1, reasoning_tokens=3))
    answer = await relay.ask(model=str(model))
    assert answer.status_code == 200
    said = answer.json()
    assert said["object"] == "chat.completion"
    assert said["model"] == str(model)
    (choice,) = said["choices"]
    assert choice["message"] == {"role": "assistant", "content": "good day", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert said["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert said["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert said["usage"]["total_tokens"] == said["usage"]["prompt_tokens"] + said["usage"]["completion_tokens"]
    assert Decimal(said["bottega"]["credits"]) == charge(relay) > 0
    assert (await relay.scene.money())[0] == 100 - charge(relay)
    await relay.settled(rows=1)


async def test_what_is_asked_arrives_as_it_was_meant(relay: Counter) -> None:
    relay.fake.enqueue("fine")
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How "}, {"type": "text", "text": "are you?"}]},
        {"role": "assistant", "content": "Well."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "And now?", "name": "ada"},
    ]
    answer = await relay.ask(messages=messages, temperature=1, top_p=0.5, user="ada", max_completion_tokens=77)
    assert answer.status_code == 200
    (ask,) = relay.fake.asks
    assert ask.system == "Be brief.\n\nBe kind."
    assert ask.turns == (("user", "How are you?"), ("assistant", "Well."), ("user", "And now?"))
    assert (ask.body["max_tokens"], ask.body["temperature"]) == (77, 1)


async def test_a_schema_is_passed_on(relay: Counter) -> None:
    relay.fake.enqueue("{}")
    schema = {"type": "object", "properties": {}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert (await relay.ask(response_format=wanted)).status_code == 200
    assert relay.fake.asks[0].body["response_format"]["json_schema"]["schema"] == schema


async def test_a_reply_that_was_cut_says_so(relay: Counter) -> None:
    relay.fake.enqueue(Reply(text="and then", finish="length"))
    assert (await relay.ask()).json()["choices"][0]["finish_reason"] == "length"


async def test_a_stream_gives_text_before_its_end(relay: Counter) -> None:
    relay.fake.enqueue(SLOW)
    async with relay.http.stream(
        "POST", "/v1/chat/completions", json=asking(stream=True, stream_options={"include_usage": True})
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        arrived = [(time.monotonic(), piece) async for piece in answer.aiter_text()]
    assert arrived[-1][0] - arrived[0][0] > 0.2
    assert "[DONE]" not in arrived[0][1]
    stream = chunks("".join(piece for _, piece in arrived))
    assert stream.text == SLOW.text
    assert stream.done
    assert stream.objects[0]["choices"][0]["delta"]["role"] == "assistant"
    finish, usage = stream.objects[-2:]
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert Decimal(finish["bottega"]["credits"]) == charge(relay)
    assert (usage["choices"], usage["usage"]["completion_tokens"] > 0) == ([], True)
    assert len({o["id"] for o in stream.objects}) == 1
    await relay.settled(rows=1)


async def test_usage_is_streamed_only_when_asked_for(relay: Counter) -> None:
    relay.fake.enqueue("good day")
    stream = chunks((await relay.ask(stream=True)).text)
    assert stream.done
    assert not any("usage" in o for o in stream.objects)


async def test_silence_is_filled_with_comments(database: Database) -> None:
    async with counter(database, silence_seconds=0.1) as relay:
        relay.fake.enqueue(Reply(text="at last", delay_seconds=0.5))
        stream = chunks((await relay.ask(stream=True)).text)
        assert stream.comments >= 2
        assert (stream.text, stream.done) == ("at last", True)


async def test_models_are_those_of_the_installation(relay: Counter) -> None:
    listed = (await relay.http.get("/v1/models")).json()
    assert [entry["id"] for entry in listed["data"]] == [str(SMALL), str(LARGE)]


# -- refusals ------------------------------------------------------------------------------------------


async def test_what_cannot_be_done_is_said_and_costs_nothing(relay: Counter) -> None:
    for answer in (await relay.ask(tools=[{"type": "function"}]), await relay.ask(messages=[], stream=True)):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
    answer = await relay.http.post("/v1/chat/completions", content=b"\xff")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    await relay.settled(rows=0)


async def test_a_body_of_ten_megabytes_is_refused(relay: Counter) -> None:
    answer = await relay.http.post("/v1/chat/completions", content=b" " * 10_000_000)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"

    async def pieces() -> Any:
        for _ in range(80):
            yield b" " * 125_000

    answer = await relay.http.post("/v1/chat/completions", content=pieces())  # its length is not announced
    assert answer.status_code == 413
    await relay.settled(rows=0)


async def test_an_unknown_model_is_not_found(relay: Counter) -> None:
    for name in ("openrouter/fake/huge", "gpt-4", "google/../x"):
        answer = await relay.ask(model=name)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"
        assert str(SMALL) in answer.json()["error"]["message"]
    assert relay.fake.asks == []


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Basic abc", "Bearer brt_unknown", "Bearer " + "x" * 5000, "Bearer \u00ff\u00fe"],
    ids=["none", "empty", "bearer", "basic", "unknown", "long", "no ASCII"],
)
async def test_without_a_token_nothing_is_served(relay: Counter, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    async with client(relay.url) as http:
        for answer in (
            await http.post("/v1/chat/completions", json=asking(), headers=headers),  # type: ignore[arg-type]
            await http.get("/v1/models", headers=headers),  # type: ignore[arg-type]
        ):
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
            assert answer.headers["www-authenticate"] == "Bearer"
    await relay.settled(rows=0)


async def test_a_revoked_token_is_as_unknown(relay: Counter) -> None:
    assert await relay.tokens.revoke(relay.token)
    answer = await relay.ask()
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    await relay.settled(rows=0)


async def test_a_paused_project_spends_nothing(relay: Counter, database: Database) -> None:
    ids = {"project_id": relay.scene.project_id, "user_id": relay.scene.user_id}
    async with database.transaction() as session:
        session.add(Run(id=uuid.uuid4(), state="paused", desired="pause", **ids))
    for stream in (False, True):
        answer = await relay.ask(stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "project_paused")
        assert f"bottega resume {relay.scene.project_id}" in answer.json()["error"]["message"]
    assert relay.fake.asks == []
    await relay.settled(rows=0)


async def test_without_credits_nothing_is_called(database: Database) -> None:
    async with counter(database, credits="0.10") as relay:
        for stream in (False, True):
            answer = await relay.ask(stream=stream)
            assert answer.status_code == 402
            assert answer.json()["error"]["code"] == "insufficient_credits"
            assert "Top up" in answer.json()["error"]["message"]
        assert relay.fake.asks == []
        await relay.settled(rows=0)


async def test_a_reply_is_never_shortened_to_what_is_affordable(database: Database) -> None:
    """Cut short it would have been read, and not paid for."""
    async with counter(database, credits="0.20") as relay:  # 1000 tokens would be 0.30
        assert (await relay.ask()).status_code == 402
        assert relay.fake.asks == []


async def test_a_projects_limit_is_kept(relay: Counter) -> None:
    await relay.scene.limit_project("0.01")
    answer = await relay.ask()
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "project_limit_reached")
    assert "limit" in answer.json()["error"]["message"]


# -- providers' faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (rate_limited(retry_after_seconds=7), 429, "rate_limited"),
        (failing(503), 503, "overloaded"),
        (Reply(status=400, message="too long"), 400, "request_rejected"),
        (Reply(status=401, message="no"), 502, "authentication_failed"),
        (out_of_credit(), 502, "payment_required"),
        (blocked(), 400, "refused"),
        (wrong_content_type(), 502, "malformed_response"),
    ],
    ids=["429", "503", "400", "401", "402", "blocked", "garbage"],
)
async def test_a_providers_fault_before_the_first_word_is_a_status(
    relay: Counter, reply: Reply, status: int, code: str, *, stream: bool
) -> None:
    relay.fake.enqueue(reply)
    answer = await relay.ask(stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    assert "key-of-openrouter" not in answer.text
    await relay.settled(rows=1)
    assert (await relay.scene.money())[0] == 100


async def test_a_fault_in_the_middle_is_an_event_and_not_the_end(relay: Counter) -> None:
    relay.fake.enqueue(Reply(text="one two three", piece_characters=4, fail_after=8))
    stream = chunks((await relay.ask(stream=True)).text)
    assert stream.text.startswith("one ")
    assert stream.error is not None
    assert not stream.done
    await relay.settled(rows=1)
    assert (await relay.scene.money())[0] == 100


async def test_what_has_been_read_is_not_begun_again(database: Database) -> None:
    async with counter(database, retry=at_once) as relay:
        relay.fake.enqueue(Reply(text="one two three", piece_characters=4, fail_after=8), "never asked for")
        stream = chunks((await relay.ask(stream=True)).text)
        assert "never" not in stream.text
        assert stream.error is not None
        await relay.settled(rows=1)


async def test_what_nobody_has_read_is_tried_again(database: Database) -> None:
    async with counter(database, retry=at_once) as relay:
        relay.fake.enqueue(failing(503), "at last", Reply(text="one two three", fail_after=8), "at last")
        assert chunks((await relay.ask(stream=True)).text).text == "at last"
        assert (await relay.ask()).json()["choices"][0]["message"]["content"] == "at last"
        await relay.settled(rows=4)
        assert [call.status for call in await relay.scene.calls()] == ["failed", "settled", "failed", "settled"]


# -- hanging up, and crowds --------------------------------------------------------------------------------


async def test_who_hangs_up_midway_pays_for_what_was_asked(relay: Counter) -> None:
    relay.fake.enqueue(SLOW)
    async with (
        client(relay.url, token=relay.token) as http,
        http.stream("POST", "/v1/chat/completions", json=asking(stream=True)) as answer,
    ):
        async for _ in answer.aiter_text():
            break
    await relay.settled(rows=1)
    (call,) = await relay.scene.calls()
    assert call.status == "settled"
    assert call.credits_charged == charge(relay) > 0


async def test_who_hangs_up_before_the_first_word_pays_too(relay: Counter) -> None:
    relay.fake.enqueue(Reply(text="too late", delay_seconds=0.4))
    async with client(relay.url, token=relay.token) as http:
        asked = asyncio.create_task(http.post("/v1/chat/completions", json=asking()))
        await asyncio.sleep(0.2)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    await relay.settled(rows=1)
    (call,) = await relay.scene.calls()
    assert call.status == "settled"


async def test_two_calls_at_once_on_one_token_are_two_rows(relay: Counter) -> None:
    relay.fake.answer = lambda ask: Reply(text=f"you said {ask.prompt}", delay_seconds=0.1)
    messages = [[{"role": "user", "content": name}] for name in ("a", "b")]
    answers = await asyncio.gather(*(relay.ask(messages=said) for said in messages))
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == ["you said a", "you said b"]
    await relay.settled(rows=2)
    assert len({call.operation_key for call in await relay.scene.calls()}) == 2


async def test_a_crowd_on_one_token_is_told_to_wait(database: Database) -> None:
    async with counter(database, calls=Calls(per_token=2, in_all=3)) as relay:
        relay.fake.answer = lambda _: Reply(text="well", delay_seconds=0.3)
        answers = await asyncio.gather(*(relay.ask() for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "2"
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert (await relay.ask()).status_code == 200
        await relay.settled(rows=3)


async def test_the_receipt_shows_what_tools_have_asked(relay: Counter, database: Database) -> None:
    relay.fake.enqueue("a", "b", failing(500))
    for _ in range(3):
        await relay.ask()
    async with database.transaction() as session:
        (line,) = (await receipt(session, project_id=relay.scene.project_id)).lines
    assert (line.purpose, line.calls, line.failed_calls) == ("relay", 2, 1)
    assert line.credits == 100 - (await relay.scene.money())[0] > 0
