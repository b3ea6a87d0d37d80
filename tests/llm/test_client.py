"""The gateway against both providers' wire formats over real HTTP, well and ill."""

from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest
from tests.fakes.providers import (
    Ask,
    FakeProviders,
    Reply,
    blocked,
    failing,
    out_of_credit,
    rate_limited,
    reset,
    silent,
    wrong_content_type,
)
from tests.llm.requests import GEMINI, IMPATIENT, OPENROUTER, QUICK, SECRET, OneKey, a_request, gateway

from bottega.llm.client import LLMClient, NoProviderKey, Patience, UnknownProvider
from bottega.llm.dialect import WORDS_SHOWN, Bill
from bottega.llm.errors import (
    AuthenticationFailed,
    Disconnected,
    Interrupted,
    MalformedResponse,
    OutOfQuota,
    Overloaded,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Refused,
    RequestRejected,
    Stalled,
)
from bottega.llm.gemini import Gemini
from bottega.llm.openrouter import OpenAIChat
from bottega.llm.types import FinishReason, Usage
from bottega.llm.wire import WireLimits

BOTH = [GEMINI, OPENROUTER]


async def failure_of(client: LLMClient, model: str) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await client.complete(a_request(model))
    return caught.value


@dataclass(kw_only=True)
class Heard:
    """Remembers what an observer was told."""

    ids: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    counts: list[tuple[Usage, Decimal | None]] = field(default_factory=list)

    def identified(self, request_id: str) -> None:
        self.ids.append(request_id)

    def received(self, text: str) -> None:
        self.pieces.append(text)

    def counted(self, usage: Usage, *, cost_usd: Decimal | None) -> None:
        self.counts.append((usage, cost_usd))


@pytest.mark.parametrize("model", BOTH)
async def test_a_reply_arrives_whole_with_the_usage_the_provider_billed(
    fake: FakeProviders, client: LLMClient, model: str
) -> None:
    text = "Ja, größer — 日本語 🙂\n" * 100
    fake.enqueue(Reply(text=text, cached_tokens=2, reasoning_tokens=7, piece_characters=33))
    heard = Heard()

    reply = await client.complete(a_request(model), observer=heard)

    (charge,) = fake.charged
    assert reply.text == text
    assert reply.finish is FinishReason.STOP
    assert reply.usage == Usage(
        input_tokens=charge.input_tokens,
        cached_tokens=2,
        output_tokens=charge.output_tokens,
        reasoning_tokens=7,
    )
    assert charge.output_tokens > 7
    assert reply.request_id == charge.id
    assert reply.key_fingerprint == "0123456789ab"
    assert not reply.usage_estimated
    assert "".join(heard.pieces) == text
    assert len(heard.pieces) > 1
    assert heard.ids == [charge.id] or model == GEMINI
    assert heard.counts[-1] == (reply.usage, reply.cost_usd)


async def test_the_request_carries_everything_in_geminis_words(fake: FakeProviders, client: LLMClient) -> None:
    fake.enqueue("{}")
    request = replace(a_request(GEMINI, schema={"type": "object"}), temperature=0.0)

    await client.complete(request)

    (ask,) = fake.asks
    assert (ask.system, ask.prompt, ask.key, ask.model) == (
        "You are terse.",
        "Hello",
        "sk-very-secret",
        "gemini-2.5-pro",
    )
    assert ask.body["generationConfig"] == {
        "maxOutputTokens": 1000,
        "temperature": 0.0,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
    }


@pytest.mark.parametrize("model", BOTH)
async def test_a_reply_cut_at_its_limit_says_length(fake: FakeProviders, client: LLMClient, model: str) -> None:
    fake.enqueue(Reply(text="half a", finish="length"))
    assert (await client.complete(a_request(model))).finish is FinishReason.LENGTH


@pytest.mark.parametrize("is_byok", [False, True])
async def test_the_reported_cost_is_exact_with_and_without_ones_own_key(
    fake: FakeProviders, client: LLMClient, *, is_byok: bool
) -> None:
    fake.enqueue(Reply(text="x" * 4321, cached_tokens=1, is_byok=is_byok))
    reply = await client.complete(a_request(OPENROUTER))
    assert reply.cost_usd == fake.charged[0].cost_usd


FAULTS: dict[str, tuple[Reply, type[ProviderError]]] = {
    "429": (rate_limited(retry_after_seconds=7.5), RateLimited),
    "402": (out_of_credit(), PaymentRequired),
    "500": (failing(500), Overloaded),
    "503": (failing(503), Overloaded),
    "529": (failing(529), Overloaded),
    "400": (Reply(status=400), RequestRejected),
    "401": (Reply(status=401), AuthenticationFailed),
    "403": (Reply(status=403), AuthenticationFailed),
    "404": (Reply(status=404), RequestRejected),
    "redirect": (Reply(status=302, headers={"Location": "http://127.0.0.1:1/"}), RequestRejected),
    "500 in bytes": (Reply(status=500, raw=b"\xff\xfe not JSON"), Overloaded),
    "500 in deep JSON": (Reply(status=500, raw=b"[" * 100_000), Overloaded),
    "safety block": (blocked(), Refused),
    "prompt blocked": (Reply(finish="prompt_blocked"), Refused),
    "HTML": (wrong_content_type(), MalformedResponse),
    "broken JSON": (Reply(raw=b"{not json", headers={"content-type": "application/json"}), MalformedResponse),
    "compressed": (Reply(raw=b"data: {}\n\n", headers={"content-encoding": "gzip"}), MalformedResponse),
    "reset": (reset(), Disconnected),
    "nothing": (Reply(raw=b"", headers={"content-type": "text/event-stream"}), Interrupted),
    "no finish": (Reply(text="abc", finish="none"), Interrupted),
    "cut": (Reply(text="abcdef", cut_after=3), Interrupted),
    "garbage": (Reply(text="abcdef", garbage_after=3), MalformedResponse),
    "error in the stream": (Reply(text="abcdef", fail_after=3), Overloaded),
    "stalled midway": (Reply(text="abcdef", stall_after=3), Stalled),
    "not a byte": (silent(), Stalled),
    "silent": (Reply(delay_seconds=60), Stalled),
    "only pings": (Reply(ping_for_ever_seconds=0.02), Stalled),
    "only empty events": (Reply(ping_for_ever_seconds=0.02, ping=b"data: {}\n\n"), Stalled),
}


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("fault", FAULTS)
async def test_what_goes_wrong_is_named_and_reported_to_the_keys(fake: FakeProviders, model: str, fault: str) -> None:
    reply, kind = FAULTS[fault]
    keys = OneKey()
    fake.enqueue(reply)
    async with gateway(fake, keys=keys, patience=IMPATIENT if kind is Stalled else QUICK) as client:
        error = await failure_of(client, model)

    assert type(error) is kind
    assert "was not done after" not in error.message, "a stall is noticed long before the ceiling"
    assert keys.failures == [error]
    assert keys.successes == 0
    assert error.key_fingerprint == "0123456789ab"
    assert len(fake.asks) == 1, "one attempt is one request"


@pytest.mark.parametrize("model", BOTH)
async def test_a_stated_wait_is_kept_to_the_fraction(fake: FakeProviders, client: LLMClient, model: str) -> None:
    fake.enqueue(rate_limited(retry_after_seconds=7.25))
    assert (await failure_of(client, model)).retry_after_seconds == 7.25


async def test_a_daily_quota_is_no_short_wait(fake: FakeProviders, client: LLMClient) -> None:
    fake.enqueue(rate_limited(retry_after_seconds=3600, per_day=True))
    error = await failure_of(client, GEMINI)
    assert type(error) is OutOfQuota
    assert error.retry_after_seconds == 3600


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("fault", ["cut_after", "stall_after", "fail_after", "garbage_after"])
async def test_a_lost_reply_leaves_its_text_its_usage_and_its_cost_behind(
    fake: FakeProviders, model: str, fault: str
) -> None:
    text = "".join(f"{n:04d} " for n in range(40))
    fake.bills_known_after = 2 if model == OPENROUTER else 0
    fake.enqueue(replace(Reply(text=text, piece_characters=20), **{fault: 50}))  # type: ignore[arg-type]

    async with gateway(fake, patience=IMPATIENT if fault == "stall_after" else QUICK) as client:
        error = await failure_of(client, model)

    (charge,) = fake.charged
    assert error.partial == text[:50]
    assert error.request_id == charge.id
    assert error.usage == Usage(input_tokens=charge.input_tokens, output_tokens=charge.output_tokens)
    assert error.cost_usd == (charge.cost_usd if model == OPENROUTER else None)


async def test_a_refusal_still_says_what_was_billed(fake: FakeProviders, client: LLMClient) -> None:
    fake.enqueue(blocked())
    error = await failure_of(client, GEMINI)
    assert error.usage == Usage(input_tokens=fake.charged[0].input_tokens)


async def test_usage_that_never_came_is_asked_for_and_else_estimated(fake: FakeProviders) -> None:
    fake.enqueue(Reply(text="x" * 400, usage=False), Reply(text="x" * 400, usage=False))
    async with gateway(fake) as client:
        asked = await client.complete(a_request(OPENROUTER))
        fake.bills_known_after = 99
        estimated = await client.complete(a_request(OPENROUTER))

    assert (asked.usage_estimated, asked.cost_usd) == (False, fake.charged[0].cost_usd)
    assert (estimated.usage_estimated, estimated.cost_usd) == (True, None)
    assert estimated.usage == Usage(input_tokens=5, output_tokens=100)


@pytest.mark.parametrize("model", BOTH)
async def test_a_finished_reply_is_kept_when_the_goodbye_is_lost(
    fake: FakeProviders, client: LLMClient, model: str
) -> None:
    fake.enqueue(Reply(text="all of it", hang_up_after_finish=True))
    reply = await client.complete(a_request(model))
    assert reply.text == "all of it"
    assert reply.usage.output_tokens == fake.charged[0].output_tokens
    assert not reply.usage_estimated


async def test_the_cost_of_a_past_call_can_be_asked(fake: FakeProviders, client: LLMClient) -> None:
    fake.enqueue("hello")
    reply = await client.complete(a_request(OPENROUTER))
    assert reply.request_id is not None
    bill = await client.bill(provider="openrouter", request_id=reply.request_id)
    assert bill == Bill(cost_usd=fake.charged[0].cost_usd, usage=reply.usage)
    assert await client.bill(provider="openrouter", request_id="gen-unknown") is None
    assert client.tells_bills(provider="openrouter", request_id=reply.request_id)
    assert not client.tells_bills(provider="google", request_id="anything")


async def test_a_provider_that_cannot_be_asked_for_a_bill_is_told_from_one_that_knows_none(fake: FakeProviders) -> None:
    async with gateway(fake) as client:
        for status, kind in ((503, Overloaded), (401, AuthenticationFailed), (429, RateLimited)):
            fake.bills_fail_with = status
            with pytest.raises(kind):
                await client.bill(provider="openrouter", request_id="gen-1")
    nobody = LLMClient(dialects=[OpenAIChat(base_url="http://127.0.0.1:1")], keys=OneKey(), patience=QUICK)
    with pytest.raises(Overloaded):
        await nobody.bill(provider="openrouter", request_id="gen-1")


@pytest.mark.parametrize("name", ["x" * 201, "gen\tx", "größe", ""])
@pytest.mark.parametrize("model", BOTH)
async def test_a_name_nobody_could_store_is_no_name(
    fake: FakeProviders, client: LLMClient, model: str, name: str
) -> None:
    fake.name_calls = lambda _: name
    fake.enqueue("hello")
    assert (await client.complete(a_request(model))).request_id is None


async def test_a_slow_reply_that_keeps_coming_is_no_stall(fake: FakeProviders) -> None:
    fake.enqueue(Reply(text="abcdefgh", piece_characters=1, pause_seconds=0.06))
    async with gateway(fake, patience=IMPATIENT) as client:
        assert (await client.complete(a_request(GEMINI))).text == "abcdefgh"


async def test_a_reply_that_comes_for_ever_meets_the_ceiling(fake: FakeProviders) -> None:
    fake.enqueue(Reply(text="a" * 1000, piece_characters=1, pause_seconds=0.02))
    async with gateway(fake, patience=replace(QUICK, total_seconds=0.3)) as client:
        error = await failure_of(client, GEMINI)
    assert isinstance(error, Stalled)
    assert "0.3 s" in error.message


@pytest.mark.parametrize(
    "limits", [WireLimits(reply_bytes=10_000), WireLimits(event_bytes=10_000)], ids=["reply", "event"]
)
async def test_a_server_cannot_send_without_end(fake: FakeProviders, limits: WireLimits) -> None:
    fake.enqueue(Reply(text="a" * 50_000, piece_characters=50_000))
    async with gateway(fake, limits=limits) as client:
        assert isinstance(await failure_of(client, GEMINI), MalformedResponse)


async def test_a_server_that_repeats_the_key_does_not_get_it_into_the_message(
    fake: FakeProviders, client: LLMClient
) -> None:
    fake.enqueue(Reply(status=401, message="Incorrect key sk-very-secret"))
    error = await failure_of(client, OPENROUTER)
    assert "sk-very-secret" not in str(error) + error.message
    assert "***" in error.message


async def test_nobody_listening_is_overloaded_and_may_be_tried_again() -> None:
    client = LLMClient(dialects=[Gemini(base_url="http://127.0.0.1:1")], keys=OneKey(), patience=QUICK)
    error = await failure_of(client, GEMINI)
    assert type(error) is Overloaded
    assert error.retryable


@pytest.mark.parametrize("base_url", ["ftp://127.0.0.1", "127.0.0.1:1", ""])
async def test_a_base_url_that_is_none_is_said_plainly(base_url: str) -> None:
    client = LLMClient(dialects=[Gemini(base_url=base_url)], keys=OneKey(), patience=QUICK)
    error = await failure_of(client, GEMINI)
    assert isinstance(error, RequestRejected)
    assert "base URL" in error.message


async def test_without_a_key_the_setting_is_named_before_any_request(fake: FakeProviders) -> None:
    async with gateway(fake, keys=OneKey(secret=None)) as client:
        for model, setting in ((GEMINI, "GOOGLE_API_KEY"), (OPENROUTER, "OPENROUTER_API_KEY")):
            with pytest.raises(NoProviderKey, match=setting):
                await client.complete(a_request(model))
    assert fake.asks == []


async def test_a_server_of_ones_own_is_asked_without_a_key(fake: FakeProviders) -> None:
    async with gateway(fake, keys=OneKey(secret=None), openrouter_extras=False) as client:
        error = await failure_of(client, OPENROUTER)
    assert isinstance(error, AuthenticationFailed), "this one does want a key, and says so itself"


async def test_an_unknown_provider_is_refused_with_the_known_ones(client: LLMClient) -> None:
    with pytest.raises(UnknownProvider, match="google, openrouter"):
        await client.complete(a_request("acme/large"))


async def test_openrouters_extras_go_to_openrouter_only(fake: FakeProviders) -> None:
    fake.answer = lambda ask: Reply(text=ask.prompt)
    for extras in (True, False):
        async with gateway(fake, openrouter_extras=extras) as client:
            await client.complete(a_request(OPENROUTER, schema={"type": "object"}))
    with_extras, without = fake.asks
    assert with_extras.body["provider"] == {"require_parameters": True}
    assert with_extras.body["session_id"] == "project-1"
    assert "provider" not in without.body
    assert "session_id" not in without.body


async def test_calls_share_connections(fake: FakeProviders, client: LLMClient) -> None:
    fake.answer = lambda ask: Reply(text=f"{ask.number}")
    for _ in range(5):
        await client.complete(a_request(OPENROUTER))
        await client.complete(a_request(GEMINI))
    assert fake.server.connections_accepted == 1


async def test_a_whole_sitting_is_billed_to_the_last_decimal(fake: FakeProviders, client: LLMClient) -> None:
    def answer(ask: Ask) -> Reply:
        text = "abc" * ask.number
        return Reply(text=text, cut_after=len(text) // 2) if ask.number % 3 == 0 else Reply(text=text, cached_tokens=1)

    fake.answer = answer
    spent = Decimal(0)
    for _ in range(30):
        try:
            spent += (await client.complete(a_request(OPENROUTER))).cost_usd or 0
        except Interrupted as error:
            spent += error.cost_usd or 0
    assert spent == sum(charge.cost_usd for charge in fake.charged)
    assert len(fake.charged) == 30


def test_the_defaults_are_what_the_house_promises() -> None:
    patience = Patience()
    assert (patience.first_word_seconds, patience.progress_seconds) == (60.0, 30.0)
    assert OpenAIChat().needs_key
    assert not OpenAIChat(base_url="http://localhost:11434/v1").needs_key


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("piece_characters", [3, 400])
async def test_a_key_that_comes_back_is_hidden_from_reply_and_listener(
    fake: FakeProviders, client: LLMClient, model: str, piece_characters: int
) -> None:
    fake.enqueue(Reply(text=f"You sent Authorization: Bearer {SECRET}, thanks", piece_characters=piece_characters))
    heard = Heard()
    reply = await client.complete(a_request(model), observer=heard)
    assert reply.text == "You sent Authorization: Bearer ***, thanks"
    assert "".join(heard.pieces) == reply.text


@pytest.mark.parametrize("model", BOTH)
async def test_half_a_key_is_not_left_at_the_end_of_shortened_words(
    fake: FakeProviders, client: LLMClient, model: str
) -> None:
    fake.enqueue(Reply(status=401, message="x" * (WORDS_SHOWN - 6) + SECRET))
    assert SECRET[:4] not in (await failure_of(client, model)).message


@pytest.mark.parametrize("model", BOTH)
async def test_a_cut_reply_does_not_keep_the_key_it_repeated(
    fake: FakeProviders, client: LLMClient, model: str
) -> None:
    fake.enqueue(Reply(text=f"{SECRET} and more", piece_characters=5, cut_after=40))
    error = await failure_of(client, model)
    assert SECRET not in error.partial


async def test_the_owner_is_asked_for_and_the_keys_row_is_told(fake: FakeProviders) -> None:
    keys = OneKey()
    async with gateway(fake, keys=keys) as client:
        fake.enqueue("hello", Reply(status=401))
        reply = await client.complete(replace(a_request(), own_keys_of=7))
        with pytest.raises(AuthenticationFailed) as caught:
            await client.complete(a_request())
    assert keys.owners == [7, None]
    assert reply.key_id == caught.value.key_id == keys.key_id


async def test_a_server_without_keys_does_not_stand_in_for_a_persons_own(fake: FakeProviders) -> None:
    async with gateway(fake, keys=OneKey(secret=None), openrouter_extras=False) as client:
        with pytest.raises(NoProviderKey):
            await client.complete(replace(a_request(OPENROUTER), own_keys_of=7))
    assert fake.asks == []
