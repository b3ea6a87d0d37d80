"""A bot made of an App: what it hears by, who answers, what it says by, and the chores that go with it.

This is the bot's own composition, as `serve.py` is the server's: `bootstrap` stands below the entry points.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog

from bottega.access.codes import Codes
from bottega.bootstrap import App, Chore, codes_of
from bottega.core.clock import Clock
from bottega.core.errors import AppError
from bottega.entrypoints.telegram.api import BotApi
from bottega.entrypoints.telegram.carrier import Carrier
from bottega.entrypoints.telegram.desk import Desk
from bottega.entrypoints.telegram.house import House, Rules
from bottega.entrypoints.telegram.narrator import Narrator
from bottega.entrypoints.telegram.pacing import Limits, Pacer
from bottega.entrypoints.telegram.poller import Poller
from bottega.entrypoints.telegram.reading import Me
from bottega.entrypoints.telegram.receiving import SOURCE, Handler, Reception
from bottega.entrypoints.telegram.saying import Voice
from bottega.entrypoints.telegram.sending import TARGET
from bottega.entrypoints.telegram.talk import Conversation
from bottega.entrypoints.telegram.types import Incoming, Say
from bottega.entrypoints.telegram.webhook import secret_for
from bottega.entrypoints.telegram.words import words_for
from bottega.orchestration.commands.forgetting import Forgetting
from bottega.orchestration.post.inbox import Clerk, Inbox
from bottega.orchestration.post.outbox import Postman, TryLater

T = TypeVar("T")

RECIPIENTS_AT_ONCE = 200  # most of them wait for their turn
CHATS_AT_ONCE = 64
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0

log = structlog.get_logger()


class NoBot(AppError):
    code = "no_bot"

    def __init__(self) -> None:
        super().__init__(
            "A bot wants a token: write to @BotFather in Telegram, and set TELEGRAM_BOT_TOKEN to what it gives you."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Both ways between Telegram and the house."""

    api: BotApi
    me: Me
    voice: Voice
    inbox: Inbox


@asynccontextmanager
async def open_wire(app: App, *, clock: Clock, limits: Limits | None = None) -> AsyncIterator[Wire]:
    """Open what speaks to Telegram. It waits until Telegram says who the bot is.

    Raises:
        NoBot
    """
    settings = app.settings.telegram
    if settings.telegram_bot_token is None:
        raise NoBot
    token = settings.telegram_bot_token.get_secret_value()
    api = BotApi(token=token, base_url=settings.telegram_api_base_url)
    inbox = Inbox(database=app.database, source=SOURCE)
    try:
        me = await _reached(api.me, clock=clock)
        yield Wire(api=api, me=me, voice=Voice(api=api, pacer=Pacer(clock=clock, limits=limits)), inbox=inbox)
    finally:
        await inbox.close()
        await api.close()


async def _reached(call: Callable[[], Awaitable[T]], *, clock: Clock) -> T:
    """Return what Telegram says, as soon as it says anything."""
    wait = PAUSE_SECONDS
    while True:
        try:
            return await call()
        except TryLater as error:
            log.warning("telegram.waits", reason=error.message, seconds=wait)
        await clock.sleep(wait)
        wait = min(2 * wait, LONGEST_PAUSE_SECONDS)


def house_of(app: App, *, wire: Wire, clock: Clock) -> House:
    """Return what the conversation works with."""
    settings = app.settings
    return House(
        bot_name=wire.me.username,
        database=app.database,
        orchestrator=app.orchestrator,
        payments=app.payments,
        forgetting=Forgetting(database=app.database, deletion=app.deletion),
        storage=app.storage,
        desk=Desk(voice=wire.voice),
        clock=clock,
        rules=Rules(
            initial_credits=settings.billing.initial_credits,
            currency=settings.payments.payment_currency,
            public_url=settings.http.public_url.rstrip("/"),
            allowed=frozenset(settings.telegram.telegram_allowed_user_ids),
            operators=frozenset(settings.telegram.telegram_admin_ids),
            free_credits_a_day=settings.billing.free_credits_per_day,
            contact=settings.telegram.support_contact,
            signup_key=app.signup_key,
            models=tuple(str(model) for model in settings.models.implementers),
        ),
        codes=codes_of(app, clock=clock),
    )


@asynccontextmanager
async def conversing(app: App, *, wire: Wire, clock: Clock) -> AsyncIterator[tuple[Chore, ...]]:
    """Lend the chores of a bot that talks: it hears, answers and tells."""
    house = house_of(app, wire=wire, clock=clock)
    conversation, narrator = Conversation(house=house), Narrator(house=house)
    app.database.hear(narrator.hear)
    if house.codes is None:
        log.info("telegram.login.off", reason="JWT_SECRET is not set: nobody signs in here")
    await conversation.introduce()
    telling = Chore(name="what projects do", every_seconds=2, work=narrator.work)
    yield (*wire_chores(app, wire=wire, handler=conversation, codes=house.codes, clock=clock), telling)


def wire_chores(app: App, *, wire: Wire, handler: Handler, codes: Codes | None, clock: Clock) -> tuple[Chore, ...]:
    """Return what hears and says; each goes on until it is cancelled, and is begun again should it fail."""
    reception = Reception(handler=handler, me=wire.me, apology=_apology)
    clerk = Clerk(
        database=app.database,
        source=SOURCE,
        takes=reception,
        given_up=reception.given_up,
        clock=clock,
        at_once=CHATS_AT_ONCE,
    )
    wire.inbox.hear(clerk.wake)
    carrier = Carrier(voice=wire.voice, archives=app.storage, links=app.links, codes=codes)
    postman = Postman(database=app.database, senders={TARGET: carrier}, clock=clock, at_once=RECIPIENTS_AT_ONCE)
    hearing: tuple[Chore, ...] = ()
    if app.settings.telegram.webhook_address is None:
        poller = Poller(api=wire.api, inbox=wire.inbox, database=app.database, clock=clock)
        hearing = (Chore(name="updates", every_seconds=1, work=poller.work),)
    return (
        *hearing,
        Chore(name="inbox", every_seconds=1, work=clerk.work),
        Chore(name="answers", every_seconds=1, work=postman.work),
        Chore(name="old updates", every_seconds=86_400, work=clerk.tidy),
    )


def _apology(incoming: Incoming) -> Say:
    return words_for(incoming.person.language).faults.set_aside(error_id=str(incoming.update_id))


async def register_webhook(app: App, *, wire: Wire, clock: Clock) -> None:
    """Have Telegram deliver to us, where it is to. Raise Rejected for an address that it does not take."""
    settings = app.settings.telegram
    if settings.webhook_address is None:
        return
    register = functools.partial(wire.api.set_webhook, url=settings.webhook_address, secret=secret_for(settings))
    await _reached(register, clock=clock)
