"""A till whose books are audited after every test."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from tests.billing.payments.till import Till, development_gateway, open_till, stars_gateway, stripe_gateway
from tests.database import MakeUser
from tests.fakes.stripe import FakeStripe
from tests.fakes.telegram import FakeTelegram

from bottega.billing.payments.gateway import PaymentGateway
from bottega.db.transaction import Database

ADA_IN_TELEGRAM = 77


@pytest.fixture
async def till(database: Database, make_user: MakeUser) -> AsyncIterator[Till]:
    """Return a shop that sells through Stripe first, and to a person without any credits."""
    ada = await make_user(balance=Decimal(0), username="ada")
    stripe = FakeStripe()
    async with stripe.server() as stripe_server, FakeTelegram() as telegram:
        gateways: list[PaymentGateway] = [
            stripe_gateway(stripe_server.url),
            stars_gateway(telegram.url),
            development_gateway(),
        ]
        till = open_till(database, user_id=ada.id, gateways=gateways)
        till.stripe, till.stars = stripe, telegram.stars
        await till.change_person(telegram_user_id=ADA_IN_TELEGRAM)
        yield till
        await till.payments.close()
    assert await till.faults() == []
