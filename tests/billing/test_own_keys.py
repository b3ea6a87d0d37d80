"""Calls on a person's own provider key: held and charged at the fee alone, exactly, and on record with the key."""

import uuid
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import text
from tests.billing.scene import MODEL, RATES, TERMS, Scene, set_scene
from tests.billing.test_metering import REPLY, REQUEST, Provider, StillClock, retry_thrice, settle

from bottega.billing.ledger import InsufficientCredits
from bottega.billing.metering import MeteredLLM, Metering
from bottega.billing.prices import PriceBook
from bottega.billing.pricing import charge_credits, worst_case_usd
from bottega.billing.types import Terms
from bottega.db.transaction import Database, Execution
from bottega.llm.errors import AuthenticationFailed, Overloaded
from bottega.llm.types import FinishReason

COST = (30 * RATES.input + 1000 * RATES.output) / 1_000_000
KEY = uuid.UUID(int=5)


class Owners:
    """Answers whether a person has own keys, and may change its mind after so many questions."""

    def __init__(self, *people: int, until: int = 10**6) -> None:
        self.people, self.until, self.asked = people, until, 0

    async def __call__(self, at: Execution, *, user_id: int, provider: str) -> bool:
        del at
        assert provider == MODEL.provider
        self.asked += 1
        return user_id in self.people and self.asked <= self.until


def account(scene: Scene, provider: Provider, *, fee: str, owners: Owners) -> MeteredLLM:
    metering = Metering(
        database=scene.database,
        llm=provider,
        retry=retry_thrice,
        terms=TERMS,
        clock=StillClock(),
        prices=PriceBook(),
        own_keys=owners,
        own_key_fee=Decimal(fee),
    )
    return metering.account(user_id=scene.user_id, project_id=scene.project_id, operation_key="run:1", lease_token=1)


async def insert_key(scene: Scene) -> None:
    async with scene.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO api_keys (id, user_id, provider, ciphertext, key_version, fingerprint, last4)"
                " VALUES (:id, :user_id, 'acme', '', 1, 'f', 'l')"
            ),
            {"id": KEY, "user_id": scene.user_id},
        )


@pytest.mark.parametrize("fee", ["0.5", "0.05", "0.33333333", "1", "0.00000001"])
async def test_the_fee_alone_is_held_and_charged_to_the_last_decimal(database: Database, fee: str) -> None:
    scene = await set_scene(database)
    await insert_key(scene)
    provider = Provider(turns=[replace(REPLY, key_id=KEY, key_fingerprint="f")])
    llm = account(scene, provider, fee=fee, owners=Owners(scene.user_id))
    await llm.complete(REQUEST)
    [call] = await scene.calls()
    terms = Terms(markup=call.markup_factor, credit_value_usd=TERMS.credit_value_usd)
    assert await scene.money() == (Decimal(100), charge_credits(worst_case_usd(scene.price, REQUEST), terms=terms))
    charged = await settle(scene, llm)
    assert charged == charge_credits(COST, terms=terms)
    assert provider.seen[0].own_keys_of == scene.user_id
    [call] = await scene.calls()
    assert call.markup_factor == Decimal(fee)
    assert (call.status, call.credits_charged, call.actual_cost_usd) == ("settled", charged, COST)
    assert (call.api_key_id, call.api_key_identifier) == (KEY, "f")
    assert await scene.money() == (Decimal(100) - charged, Decimal(0))
    assert await scene.faults() == []


async def test_without_a_fee_nothing_is_held_or_charged_and_the_call_is_on_record(database: Database) -> None:
    scene = await set_scene(database, credits="0")
    llm = account(scene, Provider(), fee="0", owners=Owners(scene.user_id))
    await llm.complete(REQUEST)
    assert await scene.hold_states() == ["open"]
    assert await settle(scene, llm) == 0
    [call] = await scene.calls()
    assert (call.status, call.credits_charged, call.actual_cost_usd) == ("settled", Decimal(0), COST)
    assert await scene.entries() == []
    assert await scene.money() == (Decimal(0), Decimal(0))
    assert await scene.faults() == []


async def test_whoever_has_no_own_key_pays_the_markup(database: Database) -> None:
    scene = await set_scene(database)
    provider = Provider()
    llm = account(scene, provider, fee="0.5", owners=Owners(scene.user_id + 1))
    await llm.complete(REQUEST)
    assert await settle(scene, llm) == charge_credits(COST, terms=TERMS)
    assert provider.seen[0].own_keys_of is None


async def test_whose_key_pays_is_settled_anew_with_every_attempt(database: Database) -> None:
    """A key added or removed between attempts changes hold, charge and key together."""
    scene = await set_scene(database)
    provider = Provider(turns=[Overloaded("x", provider="acme", key_id=None), REPLY])
    llm = account(scene, provider, fee="0.5", owners=Owners(scene.user_id, until=1))
    await llm.complete(REQUEST)
    await settle(scene, llm)
    assert [request.own_keys_of for request in provider.seen] == [scene.user_id, None]
    assert [call.markup_factor for call in await scene.calls()] == [Decimal("0.5"), TERMS.markup]
    assert await scene.faults() == []


async def test_a_request_cannot_bring_an_owner_of_its_own(database: Database) -> None:
    scene = await set_scene(database)
    provider = Provider()
    llm = account(scene, provider, fee="0.5", owners=Owners())
    await llm.complete(replace(REQUEST, own_keys_of=scene.user_id + 1))
    await llm.abandon()
    assert provider.seen[0].own_keys_of is None


async def test_a_shortened_reply_that_was_cut_says_what_the_fee_would_take(database: Database) -> None:
    scene = await set_scene(database, credits="1")
    cut = replace(REPLY, finish=FinishReason.LENGTH)
    llm = account(scene, Provider(turns=[cut]), fee="0.5", owners=Owners(scene.user_id))
    with pytest.raises(InsufficientCredits) as caught:
        await llm.complete(REQUEST)
    fee = replace(TERMS, markup=Decimal("0.5"))
    assert caught.value.needed == charge_credits(worst_case_usd(scene.price, REQUEST), terms=fee)
    assert await scene.money() == (Decimal(1), Decimal(0))


async def test_a_failed_call_is_on_record_with_its_key_and_not_charged(database: Database) -> None:
    scene = await set_scene(database)
    await insert_key(scene)
    failure = AuthenticationFailed("no", provider="acme", key_fingerprint="f", key_id=KEY)
    llm = account(scene, Provider(turns=[failure]), fee="0.5", owners=Owners(scene.user_id))
    with pytest.raises(AuthenticationFailed):
        await llm.complete(REQUEST)
    [call] = await scene.calls()
    assert (call.status, call.api_key_id, call.credits_charged) == ("failed", KEY, Decimal(0))
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []
