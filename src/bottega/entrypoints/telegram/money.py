"""Credits in a chat: what there are, how they moved, how to get more, and every end of a payment."""

import uuid
from decimal import Decimal

import structlog

from bottega.billing import ledger, statement
from bottega.billing.payments.packages import find_package
from bottega.billing.payments.telegram_stars import STARS, invoice_order
from bottega.billing.types import Cause, TransactionType
from bottega.entrypoints.telegram import picture
from bottega.entrypoints.telegram.house import House
from bottega.entrypoints.telegram.sending import post_invoice, post_say
from bottega.entrypoints.telegram.turn import Turn
from bottega.entrypoints.telegram.types import CheckoutAsked, StarsPaid
from bottega.entrypoints.telegram.words import words_for
from bottega.entrypoints.telegram.words.money import MOVEMENTS
from bottega.entrypoints.telegram.words.values import Bill, CheckoutRefusal, Stats
from bottega.orchestration import funding
from bottega.orchestration.views.figures import read_figures
from bottega.users.service import find_telegram

LARGEST_GRANT = Decimal(1_000_000)
CENT = Decimal("0.01")
_ORDERS = uuid.UUID("5b0f2e0e-6f0c-4ac5-8f7e-6c2f1c0f7a11")  # a namespace: an update's order is always the same one

log = structlog.get_logger()


async def show_credits(turn: Turn) -> None:
    async with turn.house.database.transaction() as session:
        available = await ledger.available(session, user_id=turn.user_id)
        held = await statement.held(session, user_id=turn.user_id)
        waiting = await funding.waiting_for_credits(session, user_id=turn.user_id)
    said = turn.words.money.credits(available=available, held=held, waiting=waiting, offers=turn.house.offers())
    await turn.say(said)


async def show_history(turn: Turn) -> None:
    async with turn.house.database.transaction() as session:
        movements = await statement.movements(session, user_id=turn.user_id, limit=MOVEMENTS)
    await turn.say(turn.words.money.history(movements))


async def show_packages(turn: Turn) -> None:
    async with turn.house.database.transaction() as session:
        available = await ledger.available(session, user_id=turn.user_id)
    await turn.say(turn.words.money.packages(turn.house.offers(), available=available))


async def buy_with_stars(turn: Turn, *, package: str) -> None:
    """Send an invoice for a package, to the person alone."""
    order_id = uuid.uuid5(_ORDERS, f"{turn.user_id}:{turn.key}")
    order = await turn.house.payments.order_invoice(order_id=order_id, user_id=turn.user_id, package=package)
    invoice = turn.words.money.invoice(find_package(turn.house.payments.packages(), name=package))
    async with turn.house.database.transaction() as session:
        await post_invoice(
            session,
            chat_id=turn.incoming.person.id,
            order_id=order.id,
            title=invoice.title,
            description=invoice.description,
            label=invoice.label,
            stars=order.amount_minor,
            key=f"{turn.key}:invoice",
        )


async def buy_with_card(turn: Turn, *, package: str) -> None:
    """Send the page where a package is paid by card."""
    by_card = sorted(turn.house.payments.gateways() - {STARS})
    checkout = await turn.house.payments.create_checkout(
        user_id=turn.user_id, package=package, gateway=by_card[0] if by_card else None
    )
    chosen = find_package(turn.house.payments.packages(), name=package)
    await turn.say(turn.words.money.card_page(chosen, currency=turn.house.rules.currency, url=checkout.url))


async def answer_checkout(house: House, asked: CheckoutAsked) -> None:
    """Say within seconds whether a person may pay; whatever keeps us from knowing means: not now."""
    words = words_for(asked.person.language)
    refusal: CheckoutRefusal | None
    try:
        refusal = await _refusal(house, asked)
    except Exception:  # an edge: Telegram waits ten seconds, and silence would be taken for a fault of the payment
        log.exception("checkout.undecided", payload=asked.payload[:50])
        refusal = CheckoutRefusal.NOT_NOW
    said = None if refusal is None else words.money.checkout_refused(refusal)
    await house.desk.answer_checkout(asked.query_id, said)


async def _refusal(house: House, asked: CheckoutAsked) -> CheckoutRefusal | None:
    if not house.rules.lets_in(asked.person.id):
        return CheckoutRefusal.NOT_ALLOWED
    decision = await house.payments.pre_checkout(
        payload=asked.payload, telegram_user_id=asked.person.id, currency=asked.currency, amount=asked.amount
    )
    return None if decision.approved else CheckoutRefusal(decision.code)


async def take_payment(turn: Turn, paid: StarsPaid) -> None:
    """Credit what was paid, once however often it is told, and say what goes on because of it."""
    house = turn.house
    async with house.database.transaction() as session:
        waited = await funding.waiting_for_credits(session, user_id=turn.user_id)
    as_ordered = await house.payments.successful_payment(
        payload=paid.payload,
        telegram_user_id=paid.person.id,
        currency=paid.currency,
        amount=paid.amount,
        charge_id=paid.charge_id,
    )
    order_id = invoice_order(paid.payload)
    orders = {listed.order.id: listed.order for listed in await house.payments.orders(user_id=turn.user_id)}
    if not as_ordered or order_id not in orders:
        return await turn.say(turn.words.money.not_as_ordered())
    async with house.database.transaction() as session:
        still = {run.project_id for run in await funding.waiting_for_credits(session, user_id=turn.user_id)}
        bill = Bill(
            credits=orders[order_id].credits,
            amount_minor=paid.amount,
            currency=paid.currency,
            available=await ledger.available(session, user_id=turn.user_id),
            goes_on=tuple(run.title for run in waited if run.project_id not in still),
        )
        thanks = turn.words.money.thanks(bill)
        await post_say(session, chat_id=turn.chat_id, say=thanks, key=f"paid:{paid.charge_id}")
    return None


# -- operators ----------------------------------------------------------------------------------------------------


async def grant(turn: Turn, arguments: str) -> None:
    """Give credits to somebody, by their Telegram id: `/grant 123456789 100`."""
    who, _, amount = arguments.partition(" ")
    credits = picture.credits_of(amount)
    if not who.isascii() or not who.isdigit() or credits is None or not _can_be_granted(credits):
        return await turn.say(turn.words.house.how_to_grant())
    async with turn.house.database.transaction() as session:
        person = await find_telegram(session, telegram_user_id=int(who[:18]))
        if person is None:
            await post_say(
                session, chat_id=turn.chat_id, say=turn.words.house.nobody(name=who), key=f"{turn.key}:answer"
            )
            return None
        key = f"grant:{turn.key}"
        cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key=key, description="Granted by the operator")
        await ledger.grant(session, user_id=person, credits=credits, cause=cause)
        await funding.wake_for_credits(session, person)
        available = await ledger.available(session, user_id=person)
        granted = turn.words.house.granted(name=who, credits=credits, available=available)
        await post_say(session, chat_id=turn.chat_id, say=granted, key=f"{turn.key}:answer")
        given = turn.words.house.given(credits=credits, available=available)
        await post_say(session, chat_id=int(who), say=given, key=f"{turn.key}:given")
    return None


def _can_be_granted(credits: Decimal) -> bool:
    return CENT <= credits <= LARGEST_GRANT and credits % CENT == 0


async def show_stats(turn: Turn) -> None:
    async with turn.house.database.transaction() as session:
        figures = await read_figures(session)
    stats = Stats(
        people=figures.people,
        people_today=figures.people_today,
        projects=figures.projects,
        projects_delivered=figures.projects_delivered,
        runs_by_state=figures.runs_by_state,
        credits_charged_today=figures.credits_charged_today,
        credits_bought_today=figures.credits_bought_today,
        free_credits_today=figures.free_credits_today,
        free_credits_a_day=turn.house.rules.free_credits_a_day,
    )
    await turn.say(turn.words.house.stats(stats))
