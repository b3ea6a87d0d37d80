"""What is said to those who run the installation: credits granted, and how it stands."""

from decimal import Decimal

from bottega.entrypoints.telegram.types import Say
from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.markup import Html, joined
from bottega.entrypoints.telegram.words.values import Stats
from bottega.entrypoints.telegram.words.voice import Voice, one_of


class HouseWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def granted(self, *, name: str, credits: Decimal, available: Decimal) -> Say:
        """Confirm a grant to the operator who made it."""
        return self._voice.say("granted", name=name, credits=credits, available=available)

    def given(self, *, credits: Decimal, available: Decimal) -> Say:
        """Tell a person that the operator gave them credits."""
        return self._voice.say("given", credits=credits, available=available)

    def how_to_grant(self) -> Say:
        return self._voice.say("grant-how", form=markup.code("/grant 123456789 100"))

    def nobody(self, *, name: str) -> Say:
        """Say that there is no account of this name or id."""
        return self._voice.say("grant-nobody", name=name)

    def free_credits_used_up(self) -> Say:
        """Tell a newcomer that today's free credits are all given."""
        return self._voice.say("free-credits-used-up")

    def stats(self, stats: Stats) -> Say:
        runs = joined(
            *(
                Html(f"· {self._voice.html(one_of('stats', state), count=count)}")
                for state, count in stats.runs_by_state.items()
                if count
            )
        )
        free = self._voice.html("stats-free", credits=stats.free_credits_today)
        if stats.free_credits_a_day is not None:
            cap = stats.free_credits_a_day
            free = self._voice.html("stats-free-of", credits=stats.free_credits_today, most=cap)
        html = joined(
            self._voice.html("stats-people", people=stats.people, today=stats.people_today),
            self._voice.html("stats-projects", projects=stats.projects, delivered=stats.projects_delivered),
            runs or self._voice.html("stats-idle"),
            joined(
                self._voice.html("stats-money", used=stats.credits_charged_today, bought=stats.credits_bought_today),
                free,
            ),
            between="\n\n",
        )
        return Say(html=html)
