"""Stripe over HTTP: what is asked of it, whose word is taken, and what it may not do to a balance."""

import asyncio
import json
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest
from tests.billing.payments.till import Till, open_till, stripe_gateway
from tests.database import MakeUser
from tests.fakes.http_server import HttpResponse
from tests.fakes.stripe import SECRET, signed

from bottega.billing.payments.service import PaymentService
from bottega.billing.payments.types import (
    BadSignature,
    GatewayRefused,
    GatewayUnavailable,
    MalformedWebhook,
    RefundImpossible,
    UnknownGateway,
)
from bottega.core.clock import SystemClock

ALL, NOTHING = Decimal(100), Decimal(0)


async def test_a_person_pays_and_has_the_credits(till: Till) -> None:
    checkout, session_id = await till.buy()
    await till.deliver(till.stripe.pay(session_id))
    assert await till.balance() == ALL
    assert (await till.order(checkout.order_id)).state == "paid"
    assert till.topped_up == [till.user_id]
    assert await till.entries() == [("purchase", ALL)]


async def test_stripe_is_told_whose_order_it_is_on_the_session_and_on_the_payment(till: Till) -> None:
    checkout, session_id = await till.buy()
    session = till.stripe.sessions[session_id]
    assert session["client_reference_id"] == str(till.user_id)
    told = {"order_id": str(checkout.order_id), "user_id": str(till.user_id), "package": "thirds"}
    assert session["metadata"] == session["payment_intent_metadata"] == told
    assert (session["amount_total"], session["currency"], session["mode"]) == (300, "usd", "payment")
    assert session["success_url"].startswith("https://shop.example/checkout/success?order=")
    (request,) = till.stripe.requests
    assert str(checkout.order_id) in request.headers["idempotency-key"]
    assert (await till.order(checkout.order_id)).session_id == session_id


async def test_an_answer_that_was_lost_is_asked_for_again_and_opens_one_checkout(till: Till) -> None:
    till.stripe.failures.append(HttpResponse(status=503, body=b"{}", headers={"stripe-should-retry": "true"}))
    await till.buy()
    first, second = till.stripe.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert len(till.stripe.sessions) == 1


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (HttpResponse(status=401, body=b'{"error": {"message": "Invalid API Key"}}'), GatewayRefused),
        (HttpResponse(status=500, body=b"<html>", headers={"stripe-should-retry": "false"}), GatewayUnavailable),
    ],
)
async def test_a_stripe_that_says_no_is_a_sentence(till: Till, failure: HttpResponse, error: type[Exception]) -> None:
    till.stripe.failures.append(failure)
    with pytest.raises(error):
        await till.buy()
    assert await till.balance() == NOTHING


async def test_an_unreachable_stripe_is_a_sentence_too(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bottega.billing.payments.stripe_checkout.RETRIES", 0)
    gone = open_till(till.database, user_id=till.user_id, gateways=[stripe_gateway("http://127.0.0.1:9")])
    with pytest.raises(GatewayUnavailable, match="try again"):
        await gone.buy()
    await gone.payments.close()


async def test_the_webhook_may_come_before_the_create_call_returns(till: Till) -> None:
    till.stripe.hold_back = asyncio.Event()
    opened = asyncio.create_task(till.buy())
    await till.stripe.held_back.get()
    (session_id,) = till.stripe.sessions
    await till.deliver(till.stripe.pay(session_id))
    assert not opened.done()
    assert await till.balance() == ALL
    till.stripe.hold_back.set()
    checkout, _ = await opened
    assert (await till.order(checkout.order_id)).state == "paid"


async def test_money_that_takes_days_is_credited_when_it_arrives(till: Till) -> None:
    checkout, session_id = await till.buy()
    await till.deliver(till.stripe.pay(session_id, at_once=False))
    assert (await till.balance(), (await till.order(checkout.order_id)).state) == (NOTHING, "pending")
    await till.deliver(till.stripe.arrive(session_id))
    assert (await till.balance(), (await till.order(checkout.order_id)).state) == (ALL, "paid")


@pytest.mark.parametrize(("ending", "state"), [("bounce", "failed"), ("expire", "expired")])
async def test_money_that_never_comes_gives_nothing(till: Till, ending: str, state: str) -> None:
    checkout, session_id = await till.buy()
    await till.deliver(getattr(till.stripe, ending)(session_id))
    assert (await till.balance(), (await till.order(checkout.order_id)).state) == (NOTHING, state)


async def test_the_same_event_twice_credits_once_at_whatever_instant(till: Till) -> None:
    _, session_id = await till.buy()
    event = till.stripe.pay(session_id)
    await asyncio.gather(*(till.deliver(event) for _ in range(8)))
    await till.deliver(event)
    assert await till.entries() == [("purchase", ALL)]
    assert await till.event_states() == ["applied"]


async def test_two_events_about_one_payment_at_one_instant_credit_once(till: Till) -> None:
    _, session_id = await till.buy()
    events = [till.stripe.pay(session_id), till.stripe.arrive(session_id), till.stripe.arrive(session_id)]
    await asyncio.gather(*map(till.deliver, events))
    assert await till.entries() == [("purchase", ALL)]


async def test_a_refund_and_the_payment_it_names_do_not_miss_each_other_at_one_instant(till: Till) -> None:
    for _ in range(5):
        _, session_id = await till.buy()
        paid = till.stripe.pay(session_id)
        refunded = till.stripe.event("refund.created", till.stripe.give_back(session_id, 300))
        await asyncio.gather(till.deliver(paid), till.deliver(refunded))
        assert await till.balance() == NOTHING


async def test_what_fails_inside_leaves_nothing_behind_and_works_when_it_comes_again(till: Till) -> None:
    _, session_id = await till.buy()
    event = till.stripe.pay(session_id)

    async def fall(session: object, user_id: int) -> None:  # noqa: ARG001 -- the signature of the hook
        raise RuntimeError("the machine stops here")

    falling = PaymentService(
        database=till.database,
        gateways=[stripe_gateway("http://127.0.0.1:9")],
        packages=till.payments.packages(),
        clock=SystemClock(),
        on_top_up=fall,
    )
    with pytest.raises(RuntimeError):
        await falling.receive(gateway="stripe", body=event, headers=signed(event))
    assert (await till.entries(), await till.event_states()) == ([], [])
    await till.deliver(event)
    assert await till.balance() == ALL


async def test_an_event_that_says_something_else_the_second_time_changes_nothing_and_is_told(
    till: Till, capsys: pytest.CaptureFixture[str]
) -> None:
    _, session_id = await till.buy()
    event = till.stripe.pay(session_id)
    await till.deliver(event)
    session = till.stripe.sessions[session_id] | {"amount_total": 1}
    await till.deliver(till.stripe.event("checkout.session.completed", session, event_id=json.loads(event)["id"]))
    assert await till.balance() == ALL
    assert "payments.event_changed" in capsys.readouterr().out


async def test_a_second_delivery_with_other_counts_around_it_is_the_same_event(
    till: Till, capsys: pytest.CaptureFixture[str]
) -> None:
    _, session_id = await till.buy()
    event = till.stripe.pay(session_id)
    await till.deliver(event, json.dumps(json.loads(event) | {"pending_webhooks": 0}).encode())
    assert "payments.event_changed" not in capsys.readouterr().out


# -- whose word is taken -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"stripe-signature": ""},
        {"stripe-signature": "t=,v1="},
        {"stripe-signature": "t=now,v1=abc"},
        {"stripe-signature": "v1=abc"},
        {"stripe-signature": f"t={int(time.time())}"},
        {"stripe-signature": f"t={int(time.time())},v0=abc"},
        {"stripe-signature": "t=99999999999999999999,v1=abc"},
        {"stripe-signature": "ünsigned"},
        {"stripe-signature": f"t={int(time.time())},v1=ü"},
    ],
)
async def test_a_body_without_a_signature_of_ours_is_refused(till: Till, headers: dict[str, str]) -> None:
    _, session_id = await till.buy()
    with pytest.raises(BadSignature) as refused:
        await till.payments.receive(gateway="stripe", body=till.stripe.pay(session_id), headers=headers)
    assert refused.value.http_status == 400
    assert (await till.balance(), await till.event_states()) == (NOTHING, [])


@pytest.mark.parametrize("seconds", [-301, -86_400, 302, 86_400])
async def test_a_signature_of_another_time_is_refused(till: Till, seconds: int) -> None:
    _, session_id = await till.buy()
    event = till.stripe.pay(session_id)
    with pytest.raises(BadSignature):
        await till.payments.receive(gateway="stripe", body=event, headers=signed(event, at=time.time() + seconds))
    assert await till.balance() == NOTHING


async def test_a_body_that_was_changed_or_signed_by_another_is_refused(till: Till) -> None:
    _, session_id = await till.buy()
    event = till.stripe.pay(session_id)
    for body, headers in ((event + b" ", signed(event)), (event, signed(event, secret="whsec_another"))):
        with pytest.raises(BadSignature):
            await till.payments.receive(gateway="stripe", body=body, headers=headers)
    assert await till.balance() == NOTHING


async def test_while_a_secret_is_replaced_both_are_good(till: Till) -> None:
    _, session_id = await till.buy()
    rotating = open_till(
        till.database,
        user_id=till.user_id,
        gateways=[stripe_gateway("http://127.0.0.1:9", secrets=("whsec_two", SECRET))],
    )
    event = till.stripe.pay(session_id, at_once=False)
    await rotating.payments.receive(gateway="stripe", body=event, headers=signed(event))
    event = till.stripe.arrive(session_id)
    await rotating.payments.receive(gateway="stripe", body=event, headers=signed(event, secret="whsec_two"))
    assert await till.balance() == ALL


async def test_without_a_secret_nothing_is_believed(till: Till) -> None:
    deaf = open_till(till.database, user_id=till.user_id, gateways=[stripe_gateway("http://127.0.0.1:9", secrets=())])
    event = till.stripe.event("ping", {})
    with pytest.raises(BadSignature, match="STRIPE_WEBHOOK_SECRET"):
        await deaf.payments.receive(gateway="stripe", body=event, headers=signed(event, secret=""))


async def test_a_gateway_that_is_not_here_is_not_found(till: Till) -> None:
    with pytest.raises(UnknownGateway) as refused:
        await till.payments.receive(gateway="paypal", body=b"{}", headers={})
    assert refused.value.http_status == 404


PAID: dict[str, Any] = {
    "id": "cs_x",
    "payment_status": "paid",
    "status": "complete",
    "amount_total": 300,
    "currency": "usd",
    "livemode": False,
    "client_reference_id": "1",
    "payment_intent": "pi_x",
    "metadata": {"order_id": str(uuid.uuid4()), "package": "thirds"},
}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"event"',
        b"{",
        b"[" * 100_000,
        b'{"id": "evt_1", "type": "checkout.session.completed"}',
        b'{"id": "evt_1", "type": "checkout.session.completed", "data": []}',
        b'{"id": "evt_1", "type": "checkout.session.completed", "data": {"object": 5}}',
        b'{"id": 1, "type": "ping", "data": {"object": {}}}',
        b'{"id": "evt_\\u0000", "type": "ping", "data": {"object": {}}}',
        b'{"id": "evt_\\ud800", "type": "ping", "data": {"object": {}}}',
        json.dumps({"id": "e" * 256, "type": "ping", "data": {"object": {}}}).encode(),
        json.dumps({"id": "evt", "type": "t" * 101, "data": {"object": {}}}).encode(),
        b'{"id": "evt_1", "type": "ping", "data": {"object": {"n": NaN}}}',
    ],
)
async def test_what_is_no_event_is_malformed_whoever_signed_it(till: Till, body: bytes) -> None:
    with pytest.raises(MalformedWebhook) as refused:
        await till.deliver(body)
    assert refused.value.http_status == 400
    assert await till.event_states() == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": ""},
        {"id": ["cs"]},
        {"id": "c" * 256},
        {"amount_total": None},
        {"amount_total": "300"},
        {"amount_total": 300.0},
        {"amount_total": -1},
        {"amount_total": True},
        {"amount_total": 10**30},
        {"currency": None},
        {"currency": "u" * 11},
        {"livemode": "false"},
        {"livemode": None},
        {"client_reference_id": None},
        {"client_reference_id": 1},
        {"payment_status": None},
        {"payment_status": "gifted"},
        {"payment_intent": 7},
        {"payment_intent": {}},
        {"metadata": [1]},
        {"metadata": {"order_id": str(uuid.uuid4())}},
    ],
)
async def test_a_session_of_another_shape_is_malformed(till: Till, change: dict[str, Any]) -> None:
    with pytest.raises(MalformedWebhook):
        await till.deliver(till.stripe.event("checkout.session.completed", PAID | change))
    assert await till.event_states() == []


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("refund.created", {"id": "re_1", "payment_intent": "pi", "status": "odd", "amount": 1, "currency": "usd"}),
        ("refund.created", {"id": "re_1", "payment_intent": "pi", "status": "failed", "amount": -1, "currency": "usd"}),
        ("charge.refunded", {"id": "ch_1", "payment_intent": "pi", "amount_refunded": "1", "currency": "usd"}),
        ("charge.dispute.created", {"id": "dp", "payment_intent": "pi", "amount": 1, "currency": "usd"}),
        (
            "charge.dispute.closed",
            {
                "id": "dp",
                "payment_intent": "pi",
                "amount": 1,
                "currency": "usd",
                "status": "won",
                "balance_transactions": [{"amount": "1"}],
            },
        ),
        (
            "charge.dispute.closed",
            {
                "id": "dp",
                "payment_intent": "pi",
                "amount": 1,
                "currency": "usd",
                "status": "won",
                "balance_transactions": 3,
            },
        ),
    ],
)
async def test_a_refund_or_dispute_of_another_shape_is_malformed(
    till: Till, kind: str, subject: dict[str, Any]
) -> None:
    with pytest.raises(MalformedWebhook):
        await till.deliver(till.stripe.event(kind, subject))


async def test_a_body_that_is_not_text_or_far_too_large_is_refused_at_once(till: Till) -> None:
    with pytest.raises(BadSignature):
        await till.payments.receive(gateway="stripe", body=b"\xff\xfe{}", headers=signed(b"\xff\xfe{}"))
    huge = b" " * (10 * 1024**2)
    with pytest.raises(MalformedWebhook):
        await till.payments.receive(gateway="stripe", body=huge, headers=signed(huge))


# -- what is not as ordered --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount_total": 1}, "amount 1 instead of 300"),
        ({"amount_total": 0, "payment_status": "no_payment_required"}, "amount 0 instead of 300"),
        ({"currency": "jpy"}, "currency jpy instead of usd"),
        ({"livemode": True}, "livemode True instead of False"),
        ({"client_reference_id": "2"}, "payer 2 instead of"),
    ],
)
async def test_money_that_was_not_ordered_gives_nothing_and_is_told(
    till: Till, capsys: pytest.CaptureFixture[str], change: dict[str, Any], said: str
) -> None:
    checkout, session_id = await till.buy()
    await till.deliver(till.stripe.pay(session_id, **change))
    order = await till.order(checkout.order_id)
    assert (await till.balance(), order.state) == (NOTHING, "mismatched")
    assert said in (order.problem or "")
    assert "payments.mismatched" in capsys.readouterr().out


async def test_a_package_that_was_not_ordered_gives_nothing(till: Till) -> None:
    checkout, session_id = await till.buy()
    metadata = till.stripe.sessions[session_id]["metadata"] | {"package": "everything"}
    await till.deliver(till.stripe.pay(session_id, metadata=metadata))
    assert (await till.balance(), (await till.order(checkout.order_id)).state) == (NOTHING, "mismatched")


async def test_another_persons_order_is_not_paid_by_naming_it(till: Till, make_user: MakeUser) -> None:
    checkout, _ = await till.buy()
    eve = await make_user(balance=Decimal(0), username="eve")
    bought = await till.payments.create_checkout(user_id=eve.id, package="thirds")
    session_id = bought.url.rpartition("/")[2]
    metadata = till.stripe.sessions[session_id]["metadata"] | {"order_id": str(checkout.order_id)}
    await till.deliver(till.stripe.pay(session_id, metadata=metadata))
    assert (await till.balance(), await till.balance(eve.id)) == (NOTHING, NOTHING)


async def test_a_payment_for_no_order_is_kept_and_shown_to_the_operator(till: Till) -> None:
    session = PAID | {"metadata": {"order_id": str(uuid.uuid4()), "package": "thirds"}}
    await till.deliver(till.stripe.event("checkout.session.completed", session))
    assert await till.event_states() == ["unmatched"]
    assert await till.payments.unmatched() == (("stripe", "cs_x"),)


async def test_another_products_session_and_an_unknown_event_are_nothing_of_ours(till: Till) -> None:
    await till.deliver(
        till.stripe.event("checkout.session.completed", PAID | {"metadata": None}),
        till.stripe.event("checkout.session.completed", PAID | {"metadata": {"order_id": "their-own-7"}}),
        till.stripe.event("invoice.paid", {"id": "in_1", "anything": [1, {"a": None}]}),
    )
    assert await till.event_states() == ["ignored"] * 3


# -- giving back -------------------------------------------------------------------------------------


async def test_the_operator_refunds_in_parts_and_the_last_takes_exactly_the_rest(till: Till) -> None:
    checkout, session_id = await till.buy()
    await till.deliver(till.stripe.pay(session_id))
    await till.payments.refund(checkout.order_id, 100)
    assert await till.balance() == Decimal("66.66666667")  # a third of 100, rounded in the person's favour
    assert (await till.order(checkout.order_id)).state == "partially_refunded"
    await till.payments.refund(checkout.order_id)
    order = await till.order(checkout.order_id)
    assert (await till.balance(), order.state, order.refunded_minor) == (NOTHING, "refunded", 300)
    with pytest.raises(RefundImpossible):
        await till.payments.refund(checkout.order_id)


@pytest.mark.parametrize("amount", [0, -1, 301, 10**18])
async def test_no_more_than_was_paid_is_refunded(till: Till, amount: int) -> None:
    checkout, session_id = await till.buy()
    await till.deliver(till.stripe.pay(session_id))
    with pytest.raises(RefundImpossible, match="Between 1 and 300"):
        await till.payments.refund(checkout.order_id, amount)
    assert await till.balance() == ALL


async def test_an_order_that_was_not_paid_cannot_be_refunded(till: Till) -> None:
    checkout, _ = await till.buy()
    with pytest.raises(RefundImpossible, match="is not paid"):
        await till.payments.refund(checkout.order_id)


async def test_two_operators_who_saw_the_same_order_refund_once(till: Till) -> None:
    checkout, session_id = await till.buy()
    await till.deliver(till.stripe.pay(session_id))
    till.stripe.hold_back = asyncio.Event()
    wishes = [asyncio.create_task(till.payments.refund(checkout.order_id, 150)) for _ in range(3)]
    for _ in wishes:
        await till.stripe.held_back.get()
    till.stripe.hold_back.set()
    await asyncio.gather(*wishes)
    assert len(till.stripe.refunds) == 1
    assert await till.balance() == Decimal(50)


async def test_a_refund_that_failed_can_be_made_again(till: Till) -> None:
    """Stripe answers a key it knows with what it answered then, and moves no money."""
    checkout, session_id = await till.buy()
    await till.deliver(till.stripe.pay(session_id))
    await till.payments.refund(checkout.order_id)
    (first,) = till.stripe.refunds.values()
    await till.deliver(till.stripe.fail_refund(first))
    assert await till.balance() == ALL
    await till.payments.refund(checkout.order_id)
    assert [refund["status"] for refund in till.stripe.refunds.values()] == ["failed", "succeeded"]
    assert await till.balance() == NOTHING
    assert await till.faults() == []


async def test_a_refund_of_credits_that_are_spent_leaves_a_debt(till: Till) -> None:
    checkout, session_id = await till.buy()
    await till.deliver(till.stripe.pay(session_id))
    await till.spend("60")
    await till.payments.refund(checkout.order_id)
    assert await till.balance() == Decimal(-60)


# -- what a lost webhook leaves behind ---------------------------------------------------------------


async def test_reconciling_heals_whatever_was_not_delivered_and_a_second_time_finds_nothing(till: Till) -> None:
    orders = [await till.buy() for _ in range(5)]
    sessions = [session_id for _, session_id in orders]
    for session_id in sessions[:3]:
        till.stripe.pay(session_id)  # and nobody hears of it
    till.stripe.expire(sessions[4])
    till.stripe.give_back(sessions[1], 300)
    till.stripe.dispute(sessions[2], amount=300)
    await till.deliver(till.stripe.pay(sessions[3]))
    old = till.stripe.dispute(sessions[3], amount=300, created=int(time.time()) - 80 * 86_400)
    await till.deliver(till.stripe.event("charge.dispute.funds_withdrawn", old))
    till.stripe.win(old)
    mended = await till.payments.reconcile()
    assert sorted(mended.healed) == sorted(checkout.order_id for checkout, _ in orders)
    states = [(await till.order(checkout.order_id)).state for checkout, _ in orders]
    assert states == ["paid", "refunded", "disputed", "paid", "expired"]
    assert await till.balance() == 2 * ALL
    assert (await till.payments.reconcile()).healed == ()


async def test_reconciling_twice_at_one_instant_while_webhooks_come_is_as_good_as_once(till: Till) -> None:
    sessions = [session_id for _, session_id in [await till.buy() for _ in range(3)]]
    events = [till.stripe.pay(session_id) for session_id in sessions]
    till.stripe.give_back(sessions[0], 100)
    await asyncio.gather(
        till.payments.reconcile(), till.payments.reconcile(), *(till.deliver(event) for event in events)
    )
    assert await till.balance() == 3 * ALL - Decimal("33.33333333")


async def test_an_object_that_cannot_be_read_does_not_keep_the_others_from_healing(till: Till) -> None:
    _, broken = await till.buy()
    _, good = await till.buy()
    till.stripe.pay(good)
    till.stripe.pay(broken, amount_total="lots")
    await till.payments.reconcile()
    assert await till.balance() == ALL


async def test_a_gateway_that_does_not_answer_is_named_and_the_others_are_asked(till: Till) -> None:
    till.stripe.failures.append(HttpResponse(status=500, body=b"{}", headers={"stripe-should-retry": "false"}))
    order = await till.payments.create_checkout(user_id=till.user_id, package="thirds", gateway="telegram_stars")
    till.stars.pay(till.stars.invoices[0], telegram_user_id=77)
    outcome = await till.payments.reconcile()
    assert (len(outcome.failed), outcome.healed) == (1, (order.order_id,))
    assert await till.balance() == ALL
