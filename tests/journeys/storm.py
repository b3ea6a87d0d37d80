"""A fault storm: of every hundred calls so many fail, each in one of the ways in which providers fail, by a fixed seed.

The storm knows what it answered and what every fault took: from a call that failed to the next that came.
"""

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.bootstrap import App
from bottega.config import ModelSettings
from bottega.llm.types import ModelName
from tests.fakes.providers import Ask, FakeProviders, Reply, failing, rate_limited, reset
from tests.journeys import modules

TASKS = 11
SHARE = 0.35
RETRY_AFTER_SECONDS = 1
ARCHITECT, LADDER = "google/gemini-in-a-storm", ("openrouter/fake/small", "openrouter/fake/large")


class Fault(StrEnum):
    LIMITED = "429"
    LIMITED_FOR_A_TIME = "429 with Retry-After"
    BROKEN = "500"
    OVERLOADED = "503"
    RESET = "connection reset"
    CUT = "stream cut midway"
    MALFORMED = "malformed JSON"


@dataclass(kw_only=True)
class Storm:
    """Answers for the fake. `answered` are the numbers of the calls that were given their whole reply."""

    seed: int
    share: float = SHARE
    answered: list[int] = field(default_factory=list)
    felt: Counter[Fault] = field(default_factory=Counter)
    lost_seconds: dict[Fault, float] = field(default_factory=lambda: dict.fromkeys(Fault, 0.0))

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  # weather is not a secret
        self._last: tuple[Fault, float] | None = None

    def __call__(self, ask: Ask) -> Reply:
        now = time.monotonic()
        if self._last is not None:
            fault, since = self._last
            self.lost_seconds[fault] += now - since
        self._last = None
        text = modules.reply_to(ask)
        if self._random.random() >= self.share:
            self.answered.append(ask.number)
            return Reply(text=text)
        fault = self._random.choice(list(Fault))
        self.felt[fault] += 1
        self._last = (fault, now)
        return _faulty(fault, text)


def _faulty(fault: Fault, text: str) -> Reply:
    match fault:
        case Fault.LIMITED:
            return rate_limited()
        case Fault.LIMITED_FOR_A_TIME:
            return rate_limited(retry_after_seconds=RETRY_AFTER_SECONDS)
        case Fault.BROKEN:
            return failing(500)
        case Fault.OVERLOADED:
            return failing(503)
        case Fault.RESET:
            return reset()
        case Fault.CUT:
            return Reply(text=text, piece_characters=40, cut_after=len(text) // 2)
        case Fault.MALFORMED:
            return Reply(raw=b'{"candidates": [{"content', headers={"content-type": "application/json"})


def models_on(fake: FakeProviders) -> ModelSettings:
    """One key for each provider, as most people have."""
    return ModelSettings(
        google_api_key="key-of-google",  # type: ignore[arg-type]
        gemini_base_url=fake.gemini_url,
        openrouter_api_key="key-of-openrouter",  # type: ignore[arg-type]
        openrouter_base_url=fake.openrouter_url,
        architect_model=ARCHITECT,
        implementer_models=LADDER,
    )


async def price_models(app: App) -> None:
    """Set the fake's own prices."""
    rates = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
    async with app.database.transaction() as session:
        for name in (ARCHITECT, *LADDER):
            await set_price(session, model=ModelName.parse(name), rates=rates)
