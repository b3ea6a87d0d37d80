"""All that decides who comes in, together: what a front end is handed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bottega.access.by_telegram import TelegramSignIn
from bottega.access.codes import Codes
from bottega.access.door import Door
from bottega.access.rates import Rates
from bottega.access.sign_in import SignIns
from bottega.db.transaction import Database

if TYPE_CHECKING:
    from bottega.access.limiting import Limiter  # it loads a client of Redis, which commands that serve nobody need not


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    database: Database
    door: Door
    sign_ins: SignIns
    codes: Codes
    telegram: TelegramSignIn
    limiter: "Limiter"
    rates: Rates
