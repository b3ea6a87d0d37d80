"""Telegram Stars over HTTP, and what the bot asks and brings."""

import asyncio
import uuid
from decimal import Decimal
from typing import Any

import pytest
from tests.billing.payments.till import Till, open_till, stars_gateway
from tests.fakes.stripe import signed

from bottega.billing.payments import books
from bottega.billing.payments.packages import parse_package
from bottega.billing.payments.service import Refunded
from bottega.billing.payments.telegram_stars import refunded
from bottega.billing.payments.types import (
    BadSignature,
    Checkout,
    GatewayRefused,
    GatewayUnavailable,
    MalformedWebhook,
    NoTelegramAccount,
    RefundImpossible,
)

ADA = 77
ALL, NOTHING = Decimal(100), Decimal(0)


async def invoice(till: Till) -> Checkout:
    return await till.payments.create_checkout(user_id=till.user_id, package="thirds", gateway="telegram_stars")


async def pay(till: Till, *, charge_id: str | None = None, number: int = 0, **changes: Any) -> bool:
    asked = till.stars.invoices[number]
    given = {
        "payload": asked["payload"],
        "telegram_user_id": ADA,
        "currency": "XTR",
        "amount": 80,
        "charge_id": charge_id or till.stars.pay(asked, telegram_user_id=ADA),
    }
    return await till.payments.successful_payment(**(given | changes))


async def approved(till: Till, **changes: Any) -> str:
    """Return the sentence of a refusal; nothing when the invoice may be paid."""
    given = {"payload": till.stars.invoices[0]["payload"], "telegram_user_id": ADA, "currency": "XTR", "amount": 80}
    decision = await till.payments.pre_checkout(**(given | changes))
    assert decision.approved is not bool(decision.sentence)
    return decision.sentence


async def test_an_invoice_is_approved_paid_and_credited(till: Till) -> None:
    checkout = await invoice(till)
    asked = till.stars.invoices[0]
    assert (asked["payload"], asked["prices"][0]["amount"]) == (str(checkout.order_id), 80)
    assert await approved(till) == ""
    assert await pay(till)
    assert await till.balance() == ALL
    assert till.topped_up == [till.user_id]


async def test_one_invoice_paid_twice_is_two_purchases(till: Till) -> None:
    checkout = await invoice(till)
    assert [await approved(till), await approved(till)] == ["", ""]  # neither has paid yet
    assert await pay(till)
    assert await pay(till)
    assert await till.balance() == 2 * ALL
    assert (await till.order(checkout.order_id)).state == "paid"


async def test_one_payment_told_many_times_is_one_purchase(till: Till) -> None:
    await invoice(till)
    charge_id = till.stars.pay(till.stars.invoices[0], telegram_user_id=ADA)
    await asyncio.gather(*(pay(till, charge_id=charge_id) for _ in range(6)))
    assert await till.entries() == [("purchase", ALL)]


async def test_what_is_not_as_ordered_is_declined_in_a_sentence(till: Till) -> None:
    await invoice(till)
    foreign = (await till.payments.create_checkout(user_id=till.user_id, package="thirds")).order_id
    assert "another person" in await approved(till, telegram_user_id=78)
    assert "not one of ours" in await approved(till, payload="gift")
    assert "not one of ours" in await approved(till, payload="")
    assert "not one of ours" in await approved(till, payload=str(uuid.uuid4()))
    assert "not one of ours" in await approved(till, payload=str(foreign))
    assert "price" in await approved(till, amount=1)
    assert "price" in await approved(till, currency="USD")
    await till.change_person(status="blocked")
    assert "blocked" in await approved(till)


async def test_a_paid_invoice_is_not_offered_a_second_time(till: Till) -> None:
    await invoice(till)
    await pay(till)
    assert "paid before" in await approved(till)


@pytest.mark.parametrize("now", ["thirds:100:300:90", "thirds:101:300:80", "other:100:300:80"])
async def test_an_old_price_is_declined(till: Till, now: str) -> None:
    await invoice(till)
    changed = open_till(
        till.database,
        user_id=till.user_id,
        gateways=[stars_gateway("http://127.0.0.1:9")],
        packages=[parse_package(now)],
    )
    changed.stars = till.stars
    assert "price has changed" in await approved(changed)


@pytest.mark.parametrize(
    "change", [{"telegram_user_id": 78}, {"currency": "USD"}, {"amount": 79}, {"payload": "gift"}, {"payload": "\x00"}]
)
async def test_money_that_was_not_ordered_gives_nothing_and_is_kept(till: Till, change: dict[str, Any]) -> None:
    await invoice(till)
    assert not await pay(till, **change)
    assert await till.balance() == NOTHING
    (listed,) = await till.payments.orders()
    assert listed.problem or await till.payments.unmatched()


@pytest.mark.parametrize("change", [{"charge_id": " " * 300}, {"amount": 0}, {"amount": -80}, {"amount": 10**20}])
async def test_what_cannot_be_a_payment_is_refused(till: Till, change: dict[str, Any]) -> None:
    await invoice(till)
    with pytest.raises(MalformedWebhook):
        await pay(till, **change)
    assert await till.balance() == NOTHING


async def test_a_refund_is_whole_and_happens_once(till: Till) -> None:
    checkout = await invoice(till)
    await pay(till)
    with pytest.raises(RefundImpossible, match="as a whole"):
        await till.payments.refund(checkout.order_id, 40)
    twins = await asyncio.gather(*(till.payments.refund(checkout.order_id) for _ in "ab"), return_exceptions=True)
    assert {type(twin) for twin in twins} <= {Refunded, RefundImpossible}  # one may come when all is done
    assert [twin for twin in twins if isinstance(twin, Refunded)]
    assert await till.balance() == NOTHING
    with pytest.raises(RefundImpossible):
        await till.payments.refund(checkout.order_id)
    assert [kind for kind, _ in await till.entries()] == ["purchase", "refund_clawback"]


async def test_what_telegram_gave_back_already_is_given_back_here(till: Till) -> None:
    checkout = await invoice(till)
    await pay(till, charge_id=(charge_id := till.stars.pay(till.stars.invoices[0], telegram_user_id=ADA)))
    till.stars.refunded.add(charge_id)
    await till.payments.refund(checkout.order_id)
    assert await till.balance() == NOTHING


async def test_a_refund_that_the_bot_hears_of_comes_before_or_after_its_payment(till: Till) -> None:
    await invoice(till)
    charge_id = till.stars.pay(till.stars.invoices[0], telegram_user_id=ADA)
    await till.payments.refunded_payment(amount=80, charge_id=charge_id)
    await pay(till, charge_id=charge_id)
    await till.payments.refunded_payment(amount=80, charge_id=charge_id)
    assert await till.balance() == NOTHING


async def test_news_of_two_payments_of_one_order_take_turns(till: Till) -> None:
    """Else each would render the order without what the other has not committed yet."""
    checkout = await invoice(till)
    await pay(till, charge_id="first")
    async with till.database.transaction() as session:
        await books.record(session, gateway="telegram_stars", facts=[refunded(charge_id="first", amount=80)])
        second = asyncio.create_task(pay(till, charge_id="second"))
        await asyncio.wait([second], timeout=0.2)
        assert not second.done()
    await second
    assert (await till.order(checkout.order_id)).state == "partially_refunded"


async def test_a_refund_that_telegram_refuses_takes_no_credits(till: Till) -> None:
    checkout = await invoice(till)
    await pay(till, charge_id="unknown-to-telegram")
    with pytest.raises(GatewayRefused, match="CHARGE_NOT_FOUND"):
        await till.payments.refund(checkout.order_id)
    assert await till.balance() == ALL


async def test_reconciling_brings_what_the_bot_never_heard(till: Till) -> None:
    checkout = await invoice(till)
    for number in range(150):  # more than one page of another kind
        till.stars.transactions.append({"id": f"gift{number}", "amount": 1, "date": 1, "source": {"type": "fragment"}})
    for _ in range(3):
        till.stars.pay(till.stars.invoices[0], telegram_user_id=ADA)
    await till.payments.reconcile()
    assert await till.balance() == 3 * ALL
    await till.payments.refund(checkout.order_id)
    assert await till.balance() == NOTHING
    assert (await till.payments.reconcile()).healed == ()


@pytest.mark.parametrize(
    "odd",
    [{}, {"id": 5}, {"amount": "80"}, {"amount": -1}, {"date": None}, {"source": []}, {"source": {"type": "fragment"}}],
)
async def test_an_odd_transaction_is_passed_over(till: Till, odd: dict[str, Any]) -> None:
    await invoice(till)
    till.stars.pay(till.stars.invoices[0], telegram_user_id=ADA)
    till.stars.transactions.insert(0, (till.stars.transactions[0] | {"id": "odd"} | odd) if odd else {})
    await till.payments.reconcile()
    assert await till.balance() == ALL


async def test_without_telegram_there_are_no_stars(till: Till) -> None:
    await till.change_person(telegram_user_id=None)
    with pytest.raises(NoTelegramAccount):
        await invoice(till)
    assert await till.payments.orders() == ()


async def test_a_telegram_that_cannot_be_reached_is_a_sentence_without_the_token(till: Till) -> None:
    gone = open_till(till.database, user_id=till.user_id, gateways=[stars_gateway("http://127.0.0.1:9")])
    with pytest.raises(GatewayUnavailable) as failed:
        await invoice(gone)
    chain = [failed.value, failed.value.__cause__, failed.value.__context__]
    assert not any("secret" in repr(error) for error in chain)
    await gone.payments.close()


async def test_there_is_no_webhook_that_could_bring_stars(till: Till) -> None:
    with pytest.raises(BadSignature):
        await till.payments.receive(gateway="telegram_stars", body=b"{}", headers=signed(b"{}"))
