"""Stripe's JSON into facts. Pure: whoever calls has verified where the JSON came from, and nothing else about it.

Only what is read here is believed to exist, and it is read strictly: a shape that is not Stripe's is a
MalformedWebhook, never a guess. What names no order and no payment is nothing of ours and has no facts.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping

from bottega.billing.payments.types import DisputeRank, Fact, FactKind, GatewayEvent, MalformedWebhook, RefundRank
from bottega.llm.foreign_json import Json, NotJson, parse

LARGEST_BODY = 1024**2
_LARGEST_AMOUNT = 10**12
_LONGEST_NAME = 255

_REFUND_RANKS = {
    "pending": RefundRank.PENDING,
    "requires_action": RefundRank.PENDING,
    "succeeded": RefundRank.SUCCEEDED,
    "failed": RefundRank.FAILED,
    "canceled": RefundRank.FAILED,
}


def read_event(body: bytes) -> GatewayEvent:
    """Read one event.

    Raises:
        MalformedWebhook
    """
    event = _map(_parsed(body), "event")
    kind = _text(event, "type", longest=100)
    subject = _map(_map(event.get("data"), "data").get("object"), "data.object")
    read = _READERS.get(kind)
    return GatewayEvent(
        id=_text(event, "id"),
        type=kind,
        digest=_digest(kind, subject),
        facts=read(subject) if read else (),
    )


def checkout_facts(session: Mapping[str, Json]) -> tuple[Fact, ...]:
    """Return what a checkout session says of itself now."""
    paid_by, status = _text(session, "payment_status"), session.get("status")
    if paid_by in {"paid", "no_payment_required"}:
        return _checkout(session, kind=FactKind.PAID)
    if paid_by != "unpaid":
        raise _malformed("payment_status")
    if status == "expired":
        return _checkout(session, kind=FactKind.EXPIRED)
    return _checkout(session, kind=FactKind.SUBMITTED) if status == "complete" else ()


def refund_facts(refund: Mapping[str, Json]) -> tuple[Fact, ...]:
    payment_id = _reference(refund, "payment_intent")
    rank = _REFUND_RANKS.get(_text(refund, "status"))
    if rank is None:
        raise _malformed("status")
    fact = Fact(
        kind=FactKind.REFUND,
        object_id=_text(refund, "id"),
        payment_id=payment_id,
        rank=rank,
        amount_minor=_amount(refund, "amount"),
        currency=_text(refund, "currency", longest=10),
    )
    return (fact,) if payment_id else ()


def dispute_facts(dispute: Mapping[str, Json], *, rank: DisputeRank = DisputeRank.OPEN) -> tuple[Fact, ...]:
    """Return what a dispute says of itself, and at least `rank`: the name of its event may know more."""
    payment_id = _reference(dispute, "payment_intent")
    fact = Fact(
        kind=FactKind.DISPUTE,
        object_id=_text(dispute, "id"),
        payment_id=payment_id,
        rank=max(rank, _dispute_rank(dispute)),
        amount_minor=_amount(dispute, "amount"),
        currency=_text(dispute, "currency", longest=10),
    )
    return (fact,) if payment_id else ()


def _dispute_rank(dispute: Mapping[str, Json]) -> DisputeRank:
    """Read whether funds moved. An inquiry moves none; what is lost stays withdrawn."""
    moves = dispute.get("balance_transactions", [])
    if not isinstance(moves, list):
        raise _malformed("balance_transactions")
    amounts = [_signed(_map(move, "balance_transactions"), "amount") for move in moves]
    status = _text(dispute, "status")
    if status == "won" or any(amount > 0 for amount in amounts):
        return DisputeRank.REINSTATED
    if status == "lost" or any(amount < 0 for amount in amounts):
        return DisputeRank.WITHDRAWN
    return DisputeRank.OPEN


def _completed(session: Mapping[str, Json]) -> tuple[Fact, ...]:
    """Read a session whose person is through: paid, or the money is on its way."""
    if _text(session, "payment_status") == "unpaid":
        return _checkout(session, kind=FactKind.SUBMITTED)
    return checkout_facts(session)


def _came_through(session: Mapping[str, Json]) -> tuple[Fact, ...]:
    if _text(session, "payment_status") == "unpaid":
        raise _malformed("payment_status")
    return checkout_facts(session)


def _charge_refunded(charge: Mapping[str, Json]) -> tuple[Fact, ...]:
    payment_id = _reference(charge, "payment_intent")
    fact = Fact(
        kind=FactKind.REFUNDED,
        object_id=_text(charge, "id"),
        payment_id=payment_id,
        amount_minor=_amount(charge, "amount_refunded"),
        currency=_text(charge, "currency", longest=10),
    )
    return (fact,) if payment_id else ()


def _checkout(session: Mapping[str, Json], *, kind: FactKind) -> tuple[Fact, ...]:
    metadata = _map(session.get("metadata") or {}, "metadata")
    order_id = _order_id(metadata.get("order_id"))
    object_id = _text(session, "id")
    if order_id is None:
        return ()  # another product's, in the same account
    if kind is not FactKind.PAID:
        return (Fact(kind=kind, object_id=object_id, order_id=order_id),)
    paid = Fact(
        kind=kind,
        object_id=object_id,
        payment_id=_reference(session, "payment_intent"),
        order_id=order_id,
        amount_minor=_amount(session, "amount_total"),
        currency=_text(session, "currency", longest=10),
        livemode=_flag(session, "livemode"),
        payer=_text(session, "client_reference_id"),
        package=_text(metadata, "package"),
    )
    return (paid,)


_READERS: dict[str, Callable[[Mapping[str, Json]], tuple[Fact, ...]]] = {
    "checkout.session.completed": _completed,
    "checkout.session.async_payment_succeeded": _came_through,
    "checkout.session.async_payment_failed": lambda session: _checkout(session, kind=FactKind.FAILED),
    "checkout.session.expired": lambda session: _checkout(session, kind=FactKind.EXPIRED),
    "charge.refunded": _charge_refunded,
    "charge.refund.updated": refund_facts,
    "refund.created": refund_facts,
    "refund.updated": refund_facts,
    "refund.failed": refund_facts,
    "charge.dispute.created": dispute_facts,
    "charge.dispute.updated": dispute_facts,
    "charge.dispute.closed": dispute_facts,
    "charge.dispute.funds_withdrawn": lambda dispute: dispute_facts(dispute, rank=DisputeRank.WITHDRAWN),
    "charge.dispute.funds_reinstated": lambda dispute: dispute_facts(dispute, rank=DisputeRank.REINSTATED),
}


def _parsed(body: bytes) -> Json:
    try:
        return parse(body)
    except NotJson as error:
        raise MalformedWebhook("The webhook's body is not JSON.") from error


def _digest(kind: str, subject: Mapping[str, Json]) -> str:
    """Hash what an event says. The rest of it, such as how many deliveries are pending, differs between deliveries."""
    text = json.dumps([kind, subject], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _order_id(value: Json) -> uuid.UUID | None:
    try:
        return uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _reference(subject: Mapping[str, Json], name: str) -> str | None:
    """Read another object's id, which Stripe gives as text, or as the object itself."""
    value = subject.get(name)
    if value is None:
        return None
    return _text(value, "id") if isinstance(value, dict) else _text(subject, name)


def _map(value: Json, name: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise _malformed(name)
    return value


def _text(subject: Mapping[str, Json], name: str, *, longest: int = _LONGEST_NAME) -> str:
    value = subject.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        raise _malformed(name)
    return value


def _amount(subject: Mapping[str, Json], name: str) -> int:
    value = _signed(subject, name)
    if not 0 <= value <= _LARGEST_AMOUNT:
        raise _malformed(name)
    return value


def _signed(subject: Mapping[str, Json], name: str) -> int:
    value = subject.get(name)
    if type(value) is not int:
        raise _malformed(name)
    return value


def _flag(subject: Mapping[str, Json], name: str) -> bool:
    value = subject.get(name)
    if not isinstance(value, bool):
        raise _malformed(name)
    return value


def _malformed(name: str) -> MalformedWebhook:
    return MalformedWebhook(f"The webhook is not one of Stripe's: '{name}' is missing or of another kind.")
