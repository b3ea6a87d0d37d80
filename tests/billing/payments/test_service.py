"""Ordering, the development gateway, and the limits that hold for every gateway."""

import asyncio
import uuid
from decimal import Decimal

import pytest
from tests.billing.payments.till import THIRDS, Till, development_gateway, open_till

from bottega.billing.ledger import AccountInactive
from bottega.billing.payments.development import DevelopmentGateway, NotInProduction
from bottega.billing.payments.packages import UnknownPackage, parse_package
from bottega.billing.payments.types import (
    BadSignature,
    PaymentsOff,
    TooManyOrders,
    UnknownGateway,
    UnknownOrder,
)


@pytest.fixture
def workshop(till: Till) -> Till:
    """Return a shop without any real gateway."""
    return open_till(till.database, user_id=till.user_id, gateways=[development_gateway()])


async def test_while_developing_a_page_of_ours_pays(workshop: Till) -> None:
    checkout = await workshop.payments.create_checkout(user_id=workshop.user_id, package="thirds")
    assert checkout.url == f"https://shop.example/dev/checkout/{checkout.order_id}"
    await asyncio.gather(*(workshop.payments.dev_pay(order_id=checkout.order_id) for _ in range(4)))
    assert await workshop.entries() == [("purchase", Decimal(100))]
    await workshop.payments.refund(checkout.order_id, 150)
    await workshop.payments.refund(checkout.order_id)
    assert await workshop.balance() == 0
    assert (await workshop.payments.reconcile()).facts == 0


async def test_nobody_pays_another_gateways_order_or_none_that_way(till: Till) -> None:
    stripes = await till.payments.create_checkout(user_id=till.user_id, package="thirds")
    for order_id in (stripes.order_id, uuid.uuid4()):
        with pytest.raises(UnknownOrder):
            await till.payments.dev_pay(order_id=order_id)
    assert await till.balance() == 0


async def test_the_development_gateway_believes_no_webhook(workshop: Till) -> None:
    with pytest.raises(BadSignature):
        await workshop.payments.receive(gateway="development", body=b"{}", headers={})


def test_in_production_there_is_no_development_gateway() -> None:
    with pytest.raises(NotInProduction):
        DevelopmentGateway(public_url="https://shop.example", currency="usd", production=True)


async def test_without_it_nobody_pays_in_development_style(till: Till) -> None:
    closed = open_till(till.database, user_id=till.user_id, gateways=[])
    with pytest.raises(UnknownGateway):
        await closed.payments.dev_pay(order_id=uuid.uuid4())
    with pytest.raises(PaymentsOff, match="STRIPE_SECRET_KEY"):
        await closed.payments.create_checkout(user_id=closed.user_id, package="thirds")


async def test_a_package_or_gateway_that_is_not_here_is_answered_with_those_that_are(till: Till) -> None:
    with pytest.raises(UnknownPackage, match="thirds"):
        await till.payments.create_checkout(user_id=till.user_id, package="halves")
    with pytest.raises(UnknownGateway, match="stripe, telegram_stars, development"):
        await till.payments.create_checkout(user_id=till.user_id, package="thirds", gateway="paypal")
    assert await till.payments.orders() == ()


async def test_who_does_not_exist_or_is_blocked_cannot_buy(till: Till) -> None:
    with pytest.raises(AccountInactive):
        await till.payments.create_checkout(user_id=999_999, package="thirds")
    await till.change_person(status="blocked")
    with pytest.raises(AccountInactive):
        await till.payments.create_checkout(user_id=till.user_id, package="thirds")


async def test_twenty_unpaid_orders_in_an_hour_are_enough_also_at_one_instant(workshop: Till) -> None:
    buying = (workshop.payments.create_checkout(user_id=workshop.user_id, package="thirds") for _ in range(25))
    outcomes = await asyncio.gather(*buying, return_exceptions=True)
    assert sum(isinstance(outcome, TooManyOrders) for outcome in outcomes) == 5
    paid = (await workshop.payments.orders())[0].order.id
    await workshop.payments.dev_pay(order_id=paid)
    await workshop.payments.create_checkout(user_id=workshop.user_id, package="thirds")


async def test_people_see_their_own_orders_and_the_operator_all(till: Till) -> None:
    checkout = await till.payments.create_checkout(user_id=till.user_id, package="thirds")
    assert [listed.order.id for listed in await till.payments.orders(user_id=till.user_id)] == [checkout.order_id]
    assert await till.payments.orders(user_id=till.user_id + 1) == ()
    assert len(await till.payments.orders()) == 1


def test_a_package_is_read_as_it_is_written() -> None:
    assert parse_package(" thirds : 100:300 :80") == THIRDS


@pytest.mark.parametrize(
    "text",
    [
        "thirds",
        "thirds:100:300",
        "thirds:100:300:80:1",
        ":100:300:80",
        "Thirds:100:300:80",
        "thi rds:100:300:80",
        "thirds:0:300:80",
        "thirds:1000001:300:80",
        "thirds:-1:300:80",
        "thirds:1.5:300:80",
        "thirds:NaN:300:80",
        "thirds:１:300:80",
        "thirds:100::80",
        "thirds:100:100000000:80",
        "thirds:100:300:many",
        "thirds:100:300:0",
        f"{'t' * 51}:100:300:80",
    ],
)
def test_a_package_of_another_shape_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"package|name:credits:cents:stars"):
        parse_package(text)
