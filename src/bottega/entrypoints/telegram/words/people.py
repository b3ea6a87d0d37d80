"""What is said to a person whatever their projects do: the welcome, help, languages, rules, and what fits nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.types import Button, Keyboard, Say
from bottega.entrypoints.telegram.words.catalogue import catalogue, languages
from bottega.entrypoints.telegram.words.values import Deleted, Named
from bottega.entrypoints.telegram.words.voice import Voice, in_rows, one_of

EXAMPLES = (1, 2, 3)
COMMANDS = (
    "new",
    "projects",
    "status",
    "credits",
    "buy",
    "history",
    "pause",
    "resume",
    "cancel",
    "download",
    "refine",
    "login",
    "settings",
    "language",
    "help",
    "terms",
    "paysupport",
    "delete_my_data",
)
UNSUPPORTED = frozenset(
    {"sticker", "voice", "audio", "photo", "video", "video_note", "animation", "location", "contact", "poll", "dice"}
)
PROJECTS_TO_CHOOSE_FROM = 5


class BadDocument(StrEnum):
    """Why a document is no brief."""

    TOO_LARGE = "too_large"
    NOT_TEXT = "not_text"
    WRONG_KIND = "wrong_kind"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    name: str
    description: str


class PeopleWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def welcome(self, *, name: str, credits: Decimal) -> Say:
        """Greet somebody new. `credits` are those they were given, which may be none."""
        message = "welcome" if credits > 0 else "welcome-without-credits"
        return self._voice.say(message, self._examples(), name=name, credits=credits)

    def welcome_back(self, *, name: str, available: Decimal, projects: int) -> Say:
        keyboard = in_rows([self._new(), self._projects() if projects else None, self._credits(), self._help()])
        return self._voice.say("welcome-back", keyboard, name=name, credits=available, projects=projects)

    def help(self) -> Say:
        keyboard = in_rows([self._new(), self._projects(), self._credits(), self._settings_button()])
        return self._voice.say("help", keyboard)

    def commands(self) -> tuple[Command, ...]:
        """Return the commands for Telegram's menu."""
        return tuple(Command(name=name, description=self._voice.plain(one_of("command", name))) for name in COMMANDS)

    def describe(self) -> Say:
        """Ask what is to be built."""
        return self._voice.say("describe", self._examples())

    def small_talk(self) -> Say:
        """Answer a greeting or thanks that can be no brief."""
        return self._voice.say("small-talk", self._examples())

    def example(self, number: int) -> str | None:
        """Return an example's brief, as the person would have written it; None where there is none of this number."""
        return self._voice.plain(f"example-{number}-brief", limit=1000) if number in EXAMPLES else None

    def too_short(self, *, brief: str) -> Say:
        """Ask whether so little is a brief."""
        keyboard = in_rows(
            [
                self._voice.button("button-begin-anyway", buttons.BeginAnyway()),
                self._voice.button("button-never-mind", buttons.NeverMind()),
            ]
        )
        return self._voice.say("brief-too-short", keyboard, brief=brief)

    def which_project(self, *, text: str, projects: Iterable[Named]) -> Say:
        """Ask which project a text is about."""
        choices = [
            (self._voice.button("button-project", buttons.MeantFor(project_id=one.project_id), title=one.title),)
            for one in projects
        ][:PROJECTS_TO_CHOOSE_FROM]
        last = (
            self._voice.button("button-it-is-new", buttons.BeginAnyway()),
            self._voice.button("button-never-mind", buttons.NeverMind()),
        )
        return self._voice.say("which-project", (*choices, last), text=text)

    def never_mind(self) -> Say:
        return self._voice.say("never-mind", in_rows([self._new(), self._projects()]))

    def fits_nothing(self) -> Say:
        """Say that a message could not be placed, and what can be said."""
        return self._voice.say("fits-nothing", in_rows([self._new(), self._projects(), self._help()]))

    def unknown_command(self, command: str) -> Say:
        return self._voice.say("unknown-command", in_rows([self._help()]), command=command)

    def unsupported(self, what: str) -> Say:
        """Answer what no software is described with. `what` is Telegram's name for it: sticker, voice, photo."""
        kind = self._voice.html(one_of("unsupported", what if what in UNSUPPORTED else "other"))
        return self._voice.say("unsupported", in_rows([self._new(), self._help()]), what=kind)

    def too_long(self, *, most_bytes: int) -> Say:
        return self._voice.say("text-too-long", most=most_bytes)

    def bad_document(self, why: BadDocument, *, name: str, most_bytes: int) -> Say:
        return self._voice.say(one_of("document", why), name=name, most=most_bytes)

    def languages(self) -> Say:
        choices = (
            Button(
                label=catalogue(tag).say("language-name", {}),
                data=buttons.encode(buttons.ChooseLanguage(language=tag)),
            )
            for tag in languages()
        )
        return self._voice.say("languages", in_rows(choices))

    def language_chosen(self) -> Say:
        return self._voice.say("language-chosen")

    def settings(self) -> Say:
        keyboard = in_rows(
            [
                self._voice.button("button-language", buttons.ShowLanguages()),
                self._credits(),
                self._voice.button("button-delete-my-data", buttons.DeleteMyData()),
            ],
            width=1,
        )
        return self._voice.say("settings", keyboard, language=self._voice.plain("language-name"))

    def terms(self) -> Say:
        return self._voice.say("terms")

    def pay_support(self, *, contact: str | None = None) -> Say:
        """Say how to get help with a payment. `contact` is where the operator can be reached."""
        keyboard = in_rows([self._voice.button("button-history", buttons.ShowHistory()), self._credits()])
        if contact is None:
            return self._voice.say("pay-support", keyboard)
        return self._voice.say("pay-support-with-contact", keyboard, contact=contact)

    def delete_asked(self, *, projects: int, available: Decimal) -> Say:
        """Ask whether to delete everything, and say what that takes with it and what stays."""
        keyboard = in_rows(
            [
                self._voice.button("button-delete-for-good", buttons.DeleteForGood()),
                self._voice.button("button-keep-my-data", buttons.NeverMind()),
            ],
            width=1,
        )
        return self._voice.say("delete-asked", keyboard, projects=projects, credits=available)

    def deleted(self, deleted: Deleted) -> Say:
        return self._voice.say("deleted", projects=deleted.projects, at=f"{deleted.at:%Y-%m-%d %H:%M}")

    def not_allowed(self, *, person_id: int) -> Say:
        """Turn somebody away whom the operator has not let in; their id is what the operator needs to do so."""
        return self._voice.say("not-allowed", id=str(person_id))

    def in_groups(self, *, name: str) -> Say:
        """Say how to speak to the bot in a group. `name` is the bot's username."""
        return self._voice.say("in-groups", name=f"@{name}")

    def only_in_private(self, *, bot: str) -> Say:
        """Say that this is spoken of in a chat of two only: credits, payments, data. `bot` is its username."""
        return self._voice.say("only-in-private", self._private_chat(f"https://t.me/{bot}"))

    def login_code(self, code: str, *, address: str, minutes: int) -> Say:
        """Give a code to sign in with; `address` is where this installation is reached."""
        return self._voice.say("login-code", code=code, address=address, minutes=minutes)

    def login_too_late(self) -> Say:
        """Say that a code was asked for and not given."""
        return self._voice.say("login-too-late")

    def login_only_in_private(self, *, bot: str) -> Say:
        """Say that a code is given in a chat of two only, and lead there to get it."""
        return self._voice.say("login-only-in-private", self._private_chat(f"https://t.me/{bot}?start=login"))

    def _examples(self) -> Keyboard:
        return in_rows(
            (self._voice.button(f"example-{number}-label", buttons.UseExample(number=number)) for number in EXAMPLES),
            width=1,
        )

    def _new(self) -> Button:
        return self._voice.button("button-new", buttons.NewProject())

    def _projects(self) -> Button:
        return self._voice.button("button-projects", buttons.ShowProjects(page=0))

    def _credits(self) -> Button:
        return self._voice.button("button-credits", buttons.ShowCredits())

    def _help(self) -> Button:
        return self._voice.button("button-help", buttons.ShowHelp())

    def _private_chat(self, url: str) -> Keyboard:
        return in_rows([self._voice.link("button-private-chat", url)])

    def _settings_button(self) -> Button:
        return self._voice.button("button-settings", buttons.ShowSettings())
