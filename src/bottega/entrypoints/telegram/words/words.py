"""The words of one language, by subject. Every method is pure: the same values give the same text."""

from functools import cache

from bottega.entrypoints.telegram.words.answers import AnswerWords
from bottega.entrypoints.telegram.words.catalogue import Catalogue, catalogue, closest
from bottega.entrypoints.telegram.words.delivery import DeliveryWords
from bottega.entrypoints.telegram.words.faults import FaultWords
from bottega.entrypoints.telegram.words.house import HouseWords
from bottega.entrypoints.telegram.words.money import MoneyWords
from bottega.entrypoints.telegram.words.news import NewsWords
from bottega.entrypoints.telegram.words.people import PeopleWords
from bottega.entrypoints.telegram.words.progress import ProgressWords
from bottega.entrypoints.telegram.words.projects import ProjectWords
from bottega.entrypoints.telegram.words.voice import Voice


class Words:
    """What is said, by subject.

    `people`: whatever they build. `projects`: until they are built. `progress`: the status message. `news`: events and
    stops that deserve a message. `delivery`: what was made. `money`, `faults`, `house` (for operators), `answers` (to
    buttons).
    """

    def __init__(self, catalogue: Catalogue) -> None:
        voice = Voice(catalogue)
        self.language = voice.language
        self.people = PeopleWords(voice)
        self.projects = ProjectWords(voice)
        self.progress = ProgressWords(voice)
        self.news = NewsWords(voice)
        self.delivery = DeliveryWords(voice)
        self.money = MoneyWords(voice)
        self.faults = FaultWords(voice)
        self.house = HouseWords(voice)
        self.answers = AnswerWords(voice)


def words_for(language: str | None) -> Words:
    """Return the words for an IETF tag, as Telegram tells it; English where the language is unknown or untold."""
    return _words(closest(language))


@cache
def _words(language: str) -> Words:
    return Words(catalogue(language))
