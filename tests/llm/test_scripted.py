import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from tests.llm.requests import a_request

from bottega.llm.errors import Interrupted, ProviderError, RateLimited, Refused
from bottega.llm.scripted import BrokenScript, ScriptedPrice, ScriptedProvider, ScriptExhausted, stem_of
from bottega.llm.types import LLM, CompletionRequest, Purpose, Usage

PRICE = ScriptedPrice(input_usd_per_million=Decimal("0.3"), output_usd_per_million=Decimal("2.5"))


def ask(purpose: Purpose = Purpose.IMPLEMENT, *, subject: str = "T2", attempt: int = 1) -> CompletionRequest:
    return replace(a_request("scripted/demo"), purpose=purpose, subject=subject, attempt=attempt)


@pytest.mark.parametrize(
    ("request_", "stem"),
    [
        (ask(Purpose.PLAN, subject=""), "plan-1"),
        (ask(attempt=3), "implement-T2-3"),
        (ask(Purpose.VERIFY, subject="../etc/passwd"), "verify-.._etc_passwd-1"),
    ],
)
def test_a_request_is_answered_by_the_file_of_its_name(request_: CompletionRequest, stem: str) -> None:
    assert stem_of(request_) == stem


async def test_a_folder_and_a_mapping_are_the_same_script(tmp_path: Path) -> None:
    (tmp_path / "implement-T2-1.md").write_text("größer\n", encoding="utf-8")
    folder: LLM = ScriptedProvider(script=tmp_path, price=PRICE)
    memory: LLM = ScriptedProvider(script={"implement-T2-1.md": "größer\n"}, price=PRICE)

    from_folder, from_memory = await folder.complete(ask()), await memory.complete(ask())

    assert replace(from_folder, response_time_ms=0) == replace(from_memory, response_time_ms=0)
    assert from_folder.text == "größer\n"
    assert from_folder.usage == Usage(input_tokens=5, output_tokens=3)
    assert from_folder.cost_usd == Decimal("0.000009")


async def test_nothing_is_consumed_so_runs_may_share_a_script() -> None:
    provider = ScriptedProvider(script={"implement-T2-1.md": "same"})
    replies = await asyncio.gather(*(provider.complete(replace(ask(), session=f"p{n}")) for n in range(20)))
    assert {reply.text for reply in replies} == {"same"}
    assert len({reply.request_id for reply in replies}) == 20


async def test_the_end_of_the_script_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ScriptExhausted, match=r"implement-T2-1\.md") as caught:
        await ScriptedProvider(script=tmp_path).complete(ask())
    assert str(tmp_path) in caught.value.message


async def test_a_fallback_answers_what_the_script_does_not() -> None:
    provider = ScriptedProvider(script={"plan-1.md": "scripted"}, fallback=lambda request: f"made up {request.subject}")
    assert (await provider.complete(ask())).text == "made up T2"
    assert (await provider.complete(ask(Purpose.PLAN, subject=""))).text == "scripted"


async def test_a_scripted_error_is_raised_once_for_every_run() -> None:
    script = {
        "implement-T2-1.md": "ok",
        "implement-T2-1.error.json": '{"error": "rate_limited", "retry_after": 0.2}',
    }
    provider = ScriptedProvider(script=script)
    for session in ("one", "two"):
        request = replace(ask(), session=session)
        with pytest.raises(RateLimited) as caught:
            await provider.complete(request)
        assert caught.value.retry_after_seconds == 0.2
        assert (await provider.complete(request)).text == "ok"
    assert len(provider.charged) == 2, "a 429 is not billed"


async def test_an_error_may_be_raised_several_times() -> None:
    script = {"implement-T2-1.md": "ok", "implement-T2-1.error.json": '{"error": "overloaded", "times": 2}'}
    provider = ScriptedProvider(script=script)
    for _ in range(2):
        with pytest.raises(ProviderError):
            await provider.complete(ask())
    assert (await provider.complete(ask())).text == "ok"


async def test_a_reply_cut_midway_bills_what_had_come() -> None:
    script = {
        "implement-T2-1.md": "0123456789",
        "implement-T2-1.error.json": '{"error": "interrupted", "cut_after": 8}',
    }
    provider = ScriptedProvider(script=script, price=PRICE)
    with pytest.raises(Interrupted) as caught:
        await provider.complete(ask())
    (charge,) = provider.charged
    assert caught.value.partial == "01234567"
    assert caught.value.usage == charge.usage == Usage(input_tokens=5, output_tokens=2)
    assert caught.value.cost_usd == charge.cost_usd == Decimal("0.0000065")
    assert caught.value.request_id == charge.request_id


async def test_a_refusal_bills_the_prompt() -> None:
    provider = ScriptedProvider(script={"implement-T2-1.error.json": '{"error": "refused"}'}, price=PRICE)
    with pytest.raises(Refused):
        await provider.complete(ask())
    assert [charge.usage.output_tokens for charge in provider.charged] == [0]


@pytest.mark.parametrize(
    "text", ["{", "[]", "7", "{}", '{"error": "bored"}', '{"error": []}', '{"error": "refused", "times": "x"}']
)
async def test_a_broken_error_file_is_named(text: str) -> None:
    with pytest.raises(BrokenScript, match=r"implement-T2-1\.error\.json"):
        await ScriptedProvider(script={"implement-T2-1.error.json": text}).complete(ask())


async def test_a_call_at_a_bad_time_is_caught_before_anything_is_billed() -> None:
    def refuse() -> None:
        raise RuntimeError("a transaction is open")

    provider = ScriptedProvider(script={"implement-T2-1.md": "ok"}, before_call=refuse)
    with pytest.raises(RuntimeError):
        await provider.complete(ask())
    assert provider.charged == []


async def test_latency_is_waited_and_reported() -> None:
    provider = ScriptedProvider(script={"implement-T2-1.md": "ok"}, latency=lambda _: 0.02)
    assert (await provider.complete(ask())).response_time_ms >= 20
