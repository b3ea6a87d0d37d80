"""The Bot API's part of Telegram Stars: invoices, refunds and transactions, strict about what it is asked."""

import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.http_server import HttpRequest, HttpResponse, HttpServer

TOKEN = "123:secret"

Json = dict[str, Any]


@dataclass
class FakeTelegramStars:
    invoices: list[Json] = field(default_factory=list)
    transactions: list[Json] = field(default_factory=list)
    refunded: set[str] = field(default_factory=set)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def server(self) -> HttpServer:
        return HttpServer(self.handle)

    def pay(self, invoice: Json, *, telegram_user_id: int) -> str:
        """Let a person pay an invoice, as often as they like, and return the charge id."""
        charge_id = f"stx{next(self.numbers)}"
        source = {"type": "user", "user": {"id": telegram_user_id}, "invoice_payload": invoice["payload"]}
        self._move(charge_id, amount=invoice["prices"][0]["amount"], source=source)
        return charge_id

    async def handle(self, request: HttpRequest) -> HttpResponse:
        _, bot, method = request.path.split("/")
        if bot != f"bot{TOKEN}":
            return _reply(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
        asked = json.loads(request.body)
        match method:
            case "createInvoiceLink":
                return self._invoice(asked)
            case "refundStarPayment":
                return self._refund(asked)
            case "getStarTransactions":
                found = self.transactions[asked["offset"] : asked["offset"] + asked["limit"]]
                return _reply(200, {"ok": True, "result": {"transactions": found}})
            case _:
                return _bad("method not found", status=404)

    def _invoice(self, asked: Json) -> HttpResponse:
        if asked["currency"] != "XTR" or asked["provider_token"] or len(asked["prices"]) != 1:
            return _bad("CURRENCY_TOTAL_AMOUNT_INVALID")
        if not (1 <= len(asked["title"]) <= 32 and 1 <= len(asked["description"]) <= 255):
            return _bad("TITLE_INVALID")
        if not 1 <= len(asked["payload"].encode()) <= 128:
            return _bad("PAYLOAD_INVALID")
        self.invoices.append(asked)
        return _reply(200, {"ok": True, "result": f"https://t.example/${len(self.invoices)}"})

    def _refund(self, asked: Json) -> HttpResponse:
        charge_id, person = asked["telegram_payment_charge_id"], asked["user_id"]
        paid = [each for each in self.transactions if each["id"] == charge_id and "source" in each]
        if not paid or paid[0]["source"]["user"]["id"] != person:
            return _bad("CHARGE_NOT_FOUND")
        if charge_id in self.refunded:
            return _bad("CHARGE_ALREADY_REFUNDED")
        self.refunded.add(charge_id)
        self._move(charge_id, amount=paid[0]["amount"], receiver={"type": "user", "user": {"id": person}})
        return _reply(200, {"ok": True, "result": True})

    def _move(self, charge_id: str, *, amount: int, **partner: Json) -> None:
        self.transactions.append({"id": charge_id, "amount": amount, "date": int(time.time()), **partner})


def _bad(description: str, *, status: int = 400) -> HttpResponse:
    return _reply(status, {"ok": False, "error_code": status, "description": f"Bad Request: {description}"})


def _reply(status: int, value: Json) -> HttpResponse:
    return HttpResponse(status=status, headers={"content-type": "application/json"}, body=json.dumps(value).encode())
