"""Telegram Stars: invoices, refunds and the list of transactions, by the Bot API. The bot brings what people paid.

The amount is whole Stars (XTR). A payment is named by `telegram_payment_charge_id`, not by its invoice: an invoice can
be paid again, and is another payment then.
"""

import json
import uuid
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime

from bottega.billing.payments.packages import CreditPackage
from bottega.billing.payments.types import (
    BadSignature,
    Buyer,
    Fact,
    FactKind,
    GatewayEvent,
    GatewayRefused,
    GatewayUnavailable,
    NoTelegramAccount,
    OpenedCheckout,
    Order,
    Price,
    RefundRank,
    RefundRequest,
)
from bottega.billing.payments.wire import Unreachable, Wire
from bottega.llm.foreign_json import Json, NotJson, as_list, as_map, as_text, parse

STARS = "telegram_stars"
CURRENCY = "XTR"
PAGE = 100
TOO_MANY_REQUESTS, SERVER_ERRORS = 429, 500  # and above
LONGEST_CHARGE_ID = 255
LARGEST_AMOUNT = 10**9
ALREADY_REFUNDED = "CHARGE_ALREADY_REFUNDED"


class TelegramStars:
    name = STARS
    livemode = True
    refunds_in_part = False

    def __init__(self, *, bot_token: str, base_url: str) -> None:
        self._address = f"{base_url}/bot{bot_token}"
        self._wire = Wire()

    def price(self, package: CreditPackage) -> Price:
        return Price(amount_minor=package.stars, currency=CURRENCY)

    def payer(self, buyer: Buyer) -> str:
        if buyer.telegram_user_id is None:
            raise NoTelegramAccount("Telegram Stars are paid in Telegram: write to the bot there first.")
        return str(buyer.telegram_user_id)

    async def open_checkout(self, order: Order) -> OpenedCheckout:
        credits = f"{order.credits.normalize():f} credits"
        asked = {
            "title": credits[:32],
            "description": f"{credits} for building software"[:255],
            "payload": str(order.id),
            "provider_token": "",
            "currency": CURRENCY,
            "prices": [{"label": credits, "amount": order.amount_minor}],
        }
        link = as_text(await self._call("createInvoiceLink", asked))
        if not link:
            raise GatewayUnavailable("Telegram made no invoice. Nothing was lost; try again.")
        return OpenedCheckout(url=link, session_id=None)

    def read(self, *, body: bytes, headers: Mapping[str, str]) -> GatewayEvent:  # noqa: ARG002 -- the protocol's
        raise BadSignature("Payments with Telegram Stars come through the bot, not through a webhook of their own.")

    async def refund(self, request: RefundRequest) -> Fact:
        asked = {"user_id": int(request.payer), "telegram_payment_charge_id": request.payment_id}
        try:
            await self._call("refundStarPayment", asked)
        except GatewayRefused as error:
            if ALREADY_REFUNDED not in error.message:
                raise
        return refunded(charge_id=request.payment_id, amount=request.order.amount_minor)

    async def history(self, *, since: datetime) -> AsyncGenerator[Fact, None]:
        offset = 0
        while True:  # oldest first, and no way to ask from a date on
            page = as_map(await self._call("getStarTransactions", {"offset": offset, "limit": PAGE}))
            transactions = as_list(page.get("transactions"))
            for transaction in transactions:
                fact = _transaction(as_map(transaction), since=since)
                if fact is not None:
                    yield fact
            if len(transactions) < PAGE:
                return
            offset += len(transactions)

    async def close(self) -> None:
        await self._wire.close()

    async def _call(self, method: str, asked: Mapping[str, Json]) -> Json:
        headers = {"content-type": "application/json"}
        try:
            answer = await self._wire.send(
                method="POST", url=f"{self._address}/{method}", headers=headers, body=json.dumps(asked)
            )
            reply = as_map(parse(answer.body))
        except (Unreachable, NotJson) as error:
            raise GatewayUnavailable("Telegram could not be reached. Nothing was lost; try again.") from error
        if reply.get("ok") is True:
            return reply.get("result")
        said = as_text(reply.get("description"))[:200]
        if answer.status >= SERVER_ERRORS or answer.status == TOO_MANY_REQUESTS:
            raise GatewayUnavailable(f"Telegram is busy ({said or answer.status}). Nothing was lost; try again.")
        raise GatewayRefused(f"Telegram refused: {said or answer.status}.")


def paid(*, payload: str, payer: str, currency: str, amount: int, charge_id: str) -> Fact:
    """Return the fact that an invoice was paid. It has no package: Telegram gives back the order's id alone."""
    return Fact(
        kind=FactKind.PAID,
        object_id=charge_id,
        payment_id=charge_id,
        order_id=invoice_order(payload),
        amount_minor=amount,
        currency=currency,
        livemode=True,
        payer=payer,
    )


def refunded(*, charge_id: str, amount: int) -> Fact:
    return Fact(
        kind=FactKind.REFUND,
        object_id=charge_id,
        payment_id=charge_id,
        rank=RefundRank.SUCCEEDED,
        amount_minor=amount,
        currency=CURRENCY,
    )


def invoice_order(payload: str) -> uuid.UUID | None:
    """Return the order that an invoice is for; None when the payload is none of ours."""
    try:
        return uuid.UUID(payload)
    except ValueError:
        return None


def _transaction(transaction: Mapping[str, Json], *, since: datetime) -> Fact | None:
    charge_id, amount, date = as_text(transaction.get("id")), transaction.get("amount"), transaction.get("date")
    if type(amount) is not int or not 0 < amount <= LARGEST_AMOUNT or not 1 <= len(charge_id) <= LONGEST_CHARGE_ID:
        return None
    if type(date) is not int or date < since.timestamp():
        return None
    source, receiver = as_map(transaction.get("source")), as_map(transaction.get("receiver"))
    if source.get("type") == "user":
        person = as_map(source.get("user")).get("id")
        payload = as_text(source.get("invoice_payload"))
        return paid(payload=payload, payer=str(person), currency=CURRENCY, amount=amount, charge_id=charge_id)
    return refunded(charge_id=charge_id, amount=amount) if receiver.get("type") == "user" else None
