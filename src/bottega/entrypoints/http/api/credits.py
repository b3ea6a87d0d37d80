"""An account's credits: what there is, what is set aside, how the balance moved, and buying more."""

import uuid
from datetime import datetime

from fastapi import APIRouter, status
from pydantic import Field, StrictStr

from bottega.billing import ledger, statement
from bottega.core.ids import new_id
from bottega.entrypoints.http.api.house import CreditReader, CreditWriter, OnceKey, TheHouse
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import (
    Asked,
    Cursor,
    Exact,
    Limit,
    Page,
    Told,
    problems,
    read_row,
    row_cursor,
)
from bottega.orchestration import funding

router = APIRouter(prefix="/v1/credits", tags=["Credits"], route_class=ApiRoute)
_ORDERS = uuid.UUID("6f1d3a0c-5a0e-4a0b-9d7f-2f4b6a3c1e58")  # what the order of a key is named within


class HeldFor(Told):
    project_id: uuid.UUID | None
    project: str | None
    credits: Exact


class WaitingProject(Told):
    project_id: uuid.UUID
    title: str
    credits_needed: Exact
    limit_left: Exact | None = Field(description="What its own limit leaves; null without one.")


class Balance(Told):
    available: Exact = Field(description="What can be spent: the balance without what is held.")
    held: list[HeldFor] = Field(description="Set aside for calls under way.")
    waiting: list[WaitingProject] = Field(description="What waits for credits, oldest first.")


class Movement(Told):
    """A row of the ledger: nothing is rounded, netted or left out."""

    id: int
    at: datetime
    type: str = Field(examples=["usage_deduction"])
    credits: Exact
    balance_after: Exact
    project_id: uuid.UUID | None
    project: str | None
    purpose: str | None
    task_key: str | None
    description: str | None


class Package(Told):
    name: str = Field(examples=["buy_100"])
    credits: Exact
    price_minor: int = Field(description="In the smallest unit of the currency.")
    currency: str = Field(examples=["usd"])
    stars: int = Field(description="In Telegram Stars.")


class Packages(Told):
    items: list[Package]


class NewCheckout(Asked):
    package: StrictStr = Field(max_length=50, examples=["buy_100"])
    gateway: StrictStr | None = Field(default=None, max_length=50, examples=["stripe"])


class Checkout(Told):
    order_id: uuid.UUID
    url: str = Field(description="Where it is paid.")
    gateway: str


class Order(Told):
    id: uuid.UUID
    package: str
    credits: Exact
    amount_minor: int
    currency: str
    gateway: str
    state: str
    refunded_minor: int
    created_at: datetime


class Orders(Told):
    items: list[Order]


@router.get("")
async def read_credits(who: CreditReader, house: TheHouse) -> Balance:
    """Read what is available, what is set aside, and what waits for more."""
    async with house.database.reading() as session:
        available = await ledger.available(session, user_id=who.user_id)
        held = await statement.held(session, user_id=who.user_id)
        waiting = await funding.waiting_for_credits(session, user_id=who.user_id)
    return Balance(
        available=available,
        held=[HeldFor.model_validate(one) for one in held],
        waiting=[WaitingProject.model_validate(one) for one in waiting],
    )


@router.get("/transactions")
async def list_transactions(
    who: CreditReader, house: TheHouse, limit: Limit = 20, cursor: Cursor = None
) -> Page[Movement]:
    """List how the balance moved, newest first."""
    before = read_row(cursor)
    async with house.database.reading() as session:
        found = await statement.movements(session, user_id=who.user_id, limit=limit + 1, before=before)
    items = [Movement.model_validate(one) for one in found[:limit]]
    return Page(items=items, next_cursor=row_cursor(items[-1].id) if len(found) > limit else None)


@router.get("/packages")
async def list_packages(_: CreditReader, house: TheHouse) -> Packages:
    """List what can be bought."""
    return Packages(
        items=[
            Package(
                name=one.name,
                credits=one.credits,
                price_minor=one.price_minor,
                currency=house.currency,
                stars=one.stars,
            )
            for one in house.payments.packages()
        ]
    )


@router.post("/checkouts", status_code=status.HTTP_201_CREATED, responses=problems(404, 409, 429, 502, 503))
async def create_checkout(wanted: NewCheckout, who: CreditWriter, house: TheHouse, key: OnceKey) -> Checkout:
    """Order a package; the credits come when it is paid. The same key is the same order, and the same page."""
    order_id = new_id() if key is None else uuid.uuid5(_ORDERS, f"{who.user_id} {key.name}")
    made = await house.payments.create_checkout(
        user_id=who.user_id, package=wanted.package, gateway=wanted.gateway, order_id=order_id
    )
    return Checkout.model_validate(made)


@router.get("/orders")
async def list_orders(who: CreditReader, house: TheHouse) -> Orders:
    """List what you ordered, newest first."""
    found = await house.payments.orders(user_id=who.user_id)
    return Orders(
        items=[
            Order(
                id=one.order.id,
                package=one.order.package,
                credits=one.order.credits,
                amount_minor=one.order.amount_minor,
                currency=one.order.currency,
                gateway=one.order.gateway,
                state=one.state,
                refunded_minor=one.refunded_minor,
                created_at=one.created_at,
            )
            for one in found
        ]
    )
