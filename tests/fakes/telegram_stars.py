"""The books of Telegram Stars: invoices, refunds and transactions, strict about what they are asked."""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.telegram_asking import Refusal

Json = dict[str, Any]


@dataclass
class FakeTelegramStars:
    invoices: list[Json] = field(default_factory=list)
    transactions: list[Json] = field(default_factory=list)
    refunded: set[str] = field(default_factory=set)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def methods(self) -> Mapping[str, Callable[[Json], object]]:
        return {
            "createInvoiceLink": self._invoice_link,
            "refundStarPayment": self._refund,
            "getStarTransactions": self._page,
        }

    def pay(self, invoice: Json, *, telegram_user_id: int) -> str:
        """Let a person pay an invoice, as often as they like, and return the charge id."""
        charge_id = f"stx{next(self.numbers)}"
        source = {"type": "user", "user": {"id": telegram_user_id}, "invoice_payload": invoice["payload"]}
        self._move(charge_id, amount=invoice["prices"][0]["amount"], source=source)
        return charge_id

    def checked(self, asked: Json) -> Json:
        """Return what an invoice is made of, or refuse it."""
        if asked["currency"] != "XTR" or asked["provider_token"] or len(asked["prices"]) != 1:
            raise Refusal("CURRENCY_TOTAL_AMOUNT_INVALID")
        if type(asked["prices"][0]["amount"]) is not int or not 1 <= asked["prices"][0]["amount"] <= 100_000:
            raise Refusal("CURRENCY_TOTAL_AMOUNT_INVALID")
        if not (1 <= len(asked["title"]) <= 32 and 1 <= len(asked["description"]) <= 255):
            raise Refusal("TITLE_INVALID")
        if not 1 <= len(asked["payload"].encode()) <= 128:
            raise Refusal("PAYLOAD_INVALID")
        return asked

    def _invoice_link(self, asked: Json) -> str:
        self.invoices.append(self.checked(asked))
        return f"https://t.example/${len(self.invoices)}"

    def _page(self, asked: Json) -> Json:
        return {"transactions": self.transactions[asked["offset"] : asked["offset"] + asked["limit"]]}

    def _refund(self, asked: Json) -> bool:
        charge_id, person = asked["telegram_payment_charge_id"], asked["user_id"]
        paid = [each for each in self.transactions if each["id"] == charge_id and "source" in each]
        if not paid or paid[0]["source"]["user"]["id"] != person:
            raise Refusal("CHARGE_NOT_FOUND")
        if charge_id in self.refunded:
            raise Refusal("CHARGE_ALREADY_REFUNDED")
        self.refunded.add(charge_id)
        self._move(charge_id, amount=paid[0]["amount"], receiver={"type": "user", "user": {"id": person}})
        return True

    def _move(self, charge_id: str, *, amount: int, **partner: Json) -> None:
        self.transactions.append({"id": charge_id, "amount": amount, "date": int(time.time()), **partner})
