"""What is said of credits: the balance, its history, what can be bought, and payments. Amounts are the ledger's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bottega.billing.payments.packages import CreditPackage
from bottega.billing.statement import HeldFor, Movement
from bottega.core.money import show_credits, show_price
from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.types import Button, Keyboard, Say
from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.markup import Html, joined
from bottega.entrypoints.telegram.words.values import Bill, CheckoutRefusal, Offers
from bottega.entrypoints.telegram.words.voice import Voice, in_rows, one_of
from bottega.orchestration.funding import WaitingRun

MOVEMENTS, PROJECTS, PACKAGES = 12, 8, 10
_INVOICE_TITLE, _INVOICE_TEXT = 32, 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What Telegram's invoice says."""

    title: str
    description: str
    label: str


class MoneyWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def credits(
        self, *, available: Decimal, held: Sequence[HeldFor], waiting: Sequence[WaitingRun], offers: Offers | None
    ) -> Say:
        """Return what an account has, what is set aside, and what waits for more."""
        html = joined(
            self._voice.html("credits", credits=available)
            if available >= 0
            else self._voice.html("credits-in-debt", credits=-available),
            self._held(held),
            self._waiting(waiting),
            between="\n\n",
        )
        keyboard = in_rows(
            [
                self._voice.button("button-top-up", buttons.ShowPackages()) if offers else None,
                self._voice.button("button-history", buttons.ShowHistory()),
            ]
        )
        return Say(html=html, keyboard=keyboard)

    def _held(self, held: Sequence[HeldFor]) -> Html | None:
        if not held:
            return None
        rows = (self._voice.html("credits-held-row", credits=one.credits, title=one.project or "–") for one in held)
        total = sum((one.credits for one in held), Decimal(0))
        return joined(self._voice.html("credits-held", credits=total), self._voice.some(rows, most=PROJECTS))

    def _waiting(self, waiting: Sequence[WaitingRun]) -> Html | None:
        if not waiting:
            return None
        rows = (self._voice.html("credits-waiting-row", credits=one.credits_needed, title=one.title) for one in waiting)
        return joined(self._voice.html("credits-waiting", count=len(waiting)), self._voice.some(rows, most=PROJECTS))

    def history(self, movements: Sequence[Movement]) -> Say:
        """Return how the balance moved, newest first."""
        keyboard = in_rows([self._voice.button("button-credits", buttons.ShowCredits())])
        if not movements:
            return self._voice.say("history-empty", keyboard)
        rows = self._voice.some(map(self._moved, movements), most=MOVEMENTS)
        html = joined(self._voice.html("history"), rows, self._voice.html("history-note"), between="\n\n")
        return Say(html=html, keyboard=keyboard)

    def _moved(self, movement: Movement) -> Html:
        sign = "+" if movement.credits > 0 else "−" if movement.credits < 0 else ""
        known = one_of("moved", movement.type)
        what = self._voice.html(known if self._voice.knows(known) else "moved-other")
        row = self._voice.html(
            "history-row",
            at=f"{movement.at:%Y-%m-%d %H:%M}",
            what=what,
            credits=Html(f"{sign}{show_credits(abs(movement.credits))}"),
            balance=movement.balance_after,
        )
        where = [part for part in (movement.project, movement.task_key) if part]
        return joined(row, markup.line(" · ".join(where), limit=80) if where else None, between=" · ")

    def packages(self, offers: Offers | None, *, available: Decimal) -> Say:
        """Return what can be bought, each way to pay a button."""
        if offers is None or not offers.packages or not (offers.by_stars or offers.by_card):
            return self._voice.say("nothing-for-sale", credits=available)
        keyboard = self.offered(offers, missing=Decimal(0), most=PACKAGES)
        return self._voice.say("packages", keyboard, credits=available)

    def offered(self, offers: Offers | None, *, missing: Decimal, most: int) -> Keyboard:
        """Return packages as buttons: those that are enough, the smallest first; where none is, the largest."""
        if offers is None:
            return ()
        enough = [package for package in offers.packages if package.credits >= missing]
        rest = sorted(offers.packages, key=lambda package: package.credits, reverse=True)
        chosen = (sorted(enough, key=lambda package: package.credits) or rest)[:most]
        return tuple(row for package in chosen if (row := tuple(self._ways_to_pay(package, offers=offers))))

    def _ways_to_pay(self, package: CreditPackage, *, offers: Offers) -> Iterable[Button]:
        if offers.by_stars:
            press = buttons.BuyWithStars(package=package.name)
            yield self._voice.button("button-buy-stars", press, credits=_whole(package.credits), stars=package.stars)
        if offers.by_card:
            price = show_price(package.price_minor, currency=offers.currency)
            card = buttons.BuyWithCard(package=package.name)
            yield self._voice.button("button-buy-card", card, credits=_whole(package.credits), price=price)

    def invoice(self, package: CreditPackage) -> Invoice:
        credits = _whole(package.credits)
        return Invoice(
            title=self._voice.plain("invoice-title", limit=_INVOICE_TITLE, credits=credits),
            description=self._voice.plain("invoice-description", limit=_INVOICE_TEXT, credits=credits),
            label=self._voice.plain("invoice-title", limit=_INVOICE_TITLE, credits=credits),
        )

    def card_page(self, package: CreditPackage, *, currency: str, url: str) -> Say:
        """Give the page where a package is paid by card."""
        price = show_price(package.price_minor, currency=currency)
        keyboard = ((self._voice.link("button-pay", url, price=price),),)
        return self._voice.say("card-page", keyboard, credits=_whole(package.credits), price=price)

    def thanks(self, bill: Bill) -> Say:
        """Confirm a payment, and say what goes on because of it."""
        price = show_price(bill.amount_minor, currency=bill.currency)
        paid = self._voice.html("paid", credits=bill.credits, price=price, available=bill.available)
        titles = (Html(f"▶️ {markup.line(title, limit=100)}") for title in bill.goes_on)
        woken = None
        if bill.goes_on:
            rows = self._voice.some(titles, most=PROJECTS)
            woken = joined(self._voice.html("paid-goes-on", count=len(bill.goes_on)), rows)
        keyboard = in_rows(
            [
                self._voice.button("button-projects", buttons.ShowProjects(page=0)),
                self._voice.button("button-credits", buttons.ShowCredits()),
            ]
        )
        return Say(html=joined(paid, woken, between="\n\n"), keyboard=keyboard)

    def not_as_ordered(self) -> Say:
        """Say that a payment arrived that is for no order as it was made; it is kept and looked into."""
        return self._voice.say("paid-not-as-ordered")

    def checkout_refused(self, why: CheckoutRefusal) -> str:
        """Return what Telegram shows somebody who may not pay now."""
        return self._voice.plain(one_of("refused", why))


def _whole(credits: Decimal) -> int | str:
    """Return the credits of a package, which are whole, as a number."""
    return int(credits) if credits == credits.to_integral_value() else show_credits(credits)
