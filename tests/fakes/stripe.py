"""Stripe, as far as a shop sees it: checkout, refunds, disputes, lists, idempotency keys and signed events.

Nothing is delivered by itself. What happens makes events, and a test hands them over: late, twice, in any order, badly
signed, or never.
"""

import asyncio
import hmac
import itertools
import json
import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.fakes.http_server import HttpRequest, HttpResponse, HttpServer

SECRET = "whsec_one"
KEY = "sk_test_51abc"

Json = dict[str, Any]


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Return the headers of a delivery made at this instant."""
    moment = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, sha256).hexdigest()
    return {"Stripe-Signature": f"t={moment},v1={mac}", "Content-Type": "application/json"}


@dataclass
class FakeStripe:
    sessions: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    disputes: dict[str, Json] = field(default_factory=dict)
    charges: dict[str, Json] = field(default_factory=dict)  # by payment intent
    events: list[bytes] = field(default_factory=list)
    replies: dict[str, tuple[bytes, HttpResponse]] = field(default_factory=dict)
    requests: list[HttpRequest] = field(default_factory=list)
    failures: list[HttpResponse] = field(default_factory=list)  # answered first, one by one
    hold_back: asyncio.Event | None = None  # until it is set, what was done is not answered
    held_back: "asyncio.Queue[HttpRequest]" = field(default_factory=asyncio.Queue)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def server(self) -> HttpServer:
        return HttpServer(self.handle)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        if self.failures:
            return self.failures.pop(0)
        key = request.headers.get("idempotency-key")
        if request.method == "POST" and key:
            said, reply = self.replies.get(key, (request.body, None))
            if said != request.body:
                return _error(400, kind="idempotency_error", message="Keys can only be used with the same parameters.")
            reply = reply or self._answer(request)
            self.replies[key] = (request.body, reply)
            if self.hold_back is not None:
                self.held_back.put_nowait(request)
                await self.hold_back.wait()
            return reply
        return self._answer(request)

    # -- what people and banks do --------------------------------------------------------------------

    def pay(self, session_id: str, *, at_once: bool = True, **changes: Any) -> bytes:
        """Let the person go through with it; money that takes days comes with `arrive`."""
        session = self.sessions[session_id]
        session |= {"status": "complete", "payment_intent": f"pi_{session_id}"}
        session |= {"payment_status": "paid" if at_once else "unpaid"} | changes
        self._charge(session)
        return self.event("checkout.session.completed", session)

    def arrive(self, session_id: str) -> bytes:
        session = self.sessions[session_id]
        session["payment_status"] = "paid"
        return self.event("checkout.session.async_payment_succeeded", session)

    def bounce(self, session_id: str) -> bytes:
        return self.event("checkout.session.async_payment_failed", self.sessions[session_id])

    def expire(self, session_id: str) -> bytes:
        self.sessions[session_id] |= {"status": "expired"}
        return self.event("checkout.session.expired", self.sessions[session_id])

    def give_back(self, session_id: str, amount: int, *, status: str = "succeeded") -> Json:
        """Refund without being asked by the shop, as somebody may in Stripe's own dashboard."""
        return self._refund({"payment_intent": f"pi_{session_id}", "amount": amount}, status=status)

    def fail_refund(self, refund: Json) -> bytes:
        self.charges[refund["payment_intent"]]["amount_refunded"] -= refund["amount"]
        refund["status"] = "failed"
        return self.event("refund.failed", refund)

    def dispute(self, session_id: str, *, amount: int, **changes: Any) -> Json:
        dispute = {
            "id": f"dp_{next(self.numbers)}",
            "object": "dispute",
            "amount": amount,
            "currency": "usd",
            "payment_intent": f"pi_{session_id}",
            "status": "needs_response",
            "balance_transactions": [{"id": "txn_1", "amount": -amount}],
            "created": int(time.time()),
        } | changes
        self.disputes[str(dispute["id"])] = dispute
        return dispute

    def win(self, dispute: Json) -> None:
        dispute["status"] = "won"
        dispute["balance_transactions"].append({"id": "txn_2", "amount": dispute["amount"]})

    def event(self, kind: str, subject: Json, *, event_id: str | None = None, **changes: Any) -> bytes:
        """Make an event about an object as it is now, and return the bytes of its delivery."""
        event = {
            "id": event_id or f"evt_{next(self.numbers)}",
            "object": "event",
            "type": kind,
            "livemode": False,
            "pending_webhooks": 1,
            "data": {"object": subject},
        } | changes
        body = json.dumps(event).encode()
        self.events.append(body)
        return body

    # -- the API -------------------------------------------------------------------------------------

    def _answer(self, request: HttpRequest) -> HttpResponse:
        given = _nested(request.body.decode()) if request.method == "POST" else {}
        match request.method, request.path.strip("/").split("/")[1:]:
            case "POST", ["checkout", "sessions"]:
                return _ok(self._open(given))
            case "GET", ["checkout", "sessions"]:
                return _list(self.sessions, request)
            case "GET", ["checkout", "sessions", session_id] if session_id in self.sessions:
                return _ok(self.sessions[session_id])
            case "POST", ["refunds"]:
                charge = self.charges[given["payment_intent"]]
                if charge["amount_refunded"] + int(given["amount"]) > charge["amount"]:
                    return _error(
                        400, kind="invalid_request_error", message="Refund amount is greater than the charge."
                    )
                return _ok(self._refund(given, status="succeeded"))
            case "GET", ["refunds"]:
                return _list(self.refunds, request)
            case "GET", ["disputes"]:
                return _list(self.disputes, request)
            case _:
                return _error(404, kind="invalid_request_error", message=f"No such thing: {request.path}")

    def _open(self, given: Json) -> Json:
        session_id = f"cs_test_{next(self.numbers)}"
        price = given["line_items"]["0"]["price_data"]
        session = {
            "id": session_id,
            "object": "checkout.session",
            "mode": given["mode"],
            "client_reference_id": given["client_reference_id"],
            "metadata": given["metadata"],
            "payment_intent_metadata": given["payment_intent_data"]["metadata"],
            "amount_total": int(price["unit_amount"]),
            "currency": price["currency"],
            "livemode": False,
            "payment_status": "unpaid",
            "payment_intent": None,
            "status": "open",
            "created": int(time.time()),
            "success_url": given["success_url"],
            "cancel_url": given["cancel_url"],
            "url": f"https://checkout.example/{session_id}",
        }
        self.sessions[session_id] = session
        return session

    def _charge(self, session: Json) -> None:
        intent = session["payment_intent"]
        self.charges[intent] = {
            "id": f"ch_{session['id']}",
            "object": "charge",
            "payment_intent": intent,
            "amount": session["amount_total"],
            "amount_refunded": 0,
            "currency": session["currency"],
            "metadata": session["payment_intent_metadata"],
        }

    def _refund(self, given: Json, *, status: str) -> Json:
        charge = self.charges[given["payment_intent"]]
        refund = {
            "id": f"re_{next(self.numbers)}",
            "object": "refund",
            "amount": int(given["amount"]),
            "currency": charge["currency"],
            "payment_intent": given["payment_intent"],
            "status": status,
            "created": int(time.time()),
        }
        charge["amount_refunded"] += refund["amount"]
        self.refunds[str(refund["id"])] = refund
        return refund


def _ok(value: Json) -> HttpResponse:
    return HttpResponse(headers={"content-type": "application/json"}, body=json.dumps(value).encode())


def _error(status: int, *, kind: str, message: str) -> HttpResponse:
    body = json.dumps({"error": {"type": kind, "message": message}}).encode()
    return HttpResponse(status=status, headers={"content-type": "application/json"}, body=body)


def _list(objects: dict[str, Json], request: HttpRequest) -> HttpResponse:
    since = int(request.query.get("created[gte]", "0"))
    found = [each for each in reversed(objects.values()) if each["created"] >= since]
    names = [each["id"] for each in found]
    after = request.query.get("starting_after")
    found = found[names.index(after) + 1 :] if after else found
    limit = min(int(request.query.get("limit", "10")), 2)  # pages are small here, so that they are turned
    page = {"object": "list", "url": request.path, "has_more": len(found) > limit, "data": found[:limit]}
    return _ok(page)


def _nested(form: str) -> Json:
    """Read a[b][0][c]=d into nested maps."""
    root: Json = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        *path, last = unquote(name).replace("]", "").split("[")
        place = root
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return root
