"""No secret in words: known ones by their fingerprint, unknown ones by their look, in sentences and in the log."""

import json
import subprocess
import sys
import uuid

import pytest

from bottega.core import redaction
from bottega.core.errors import AppError
from bottega.core.redaction import redacted, remember

UNKNOWN = [
    "sk-or-v1-" + "0a1b" * 16,
    "sk-ant-api03-" + "Ab-_" * 10,
    "AIzaSy" + "A1_-b" * 7,
    "AQ." + "Ab1_-" * 8,
    "sk_live_" + "a1B2" * 6,
    "whsec_" + "a1B2" * 6,
    "bott_" + "a1B2" * 12,
    "bort_" + "a1B2" * 12,
    "brt_" + "a1-_" * 10,
    "eyJ" + "a1-_" * 9 + ".eyJ" + "a1-_" * 40 + "." + "a1-_" * 10,
    "123456789:AA" + "b1_-C" * 7,
]


def a_secret() -> str:
    return f"hush-{uuid.uuid4()}"


def test_a_known_secret_is_replaced_by_its_fingerprint_or_by_stars() -> None:
    one, two = a_secret(), a_secret()
    remember(one, shown="0123456789ab")
    remember(two)
    assert redacted(f"Bearer {one}, x={two}&y={one}{two}") == (
        "Bearer [key 0123456789ab], x=***&y=[key 0123456789ab]***"
    )


def test_a_secret_that_begins_with_another_is_replaced_whole() -> None:
    one = a_secret()
    remember(one)
    remember(f"{one}-longer")
    assert redacted(f"({one}-longer)") == "(***)"


def test_what_is_too_short_to_be_a_secret_is_left() -> None:
    remember("none")
    assert redacted("there is none") == "there is none"


@pytest.mark.parametrize("secret", UNKNOWN)
def test_what_looks_like_a_key_is_replaced_though_nobody_named_it(secret: str) -> None:
    assert redacted(f"Authorization: Bearer {secret}, he said") == "Authorization: Bearer ***, he said"


def test_a_bots_token_is_replaced_in_the_addresses_that_hold_it() -> None:
    assert redacted(f"https://api.telegram.org/bot{UNKNOWN[-1]}/getMe") == "https://api.telegram.org/bot***/getMe"


@pytest.mark.parametrize(
    "text", ["task-implementer-of-the-first-kind", "sk-short", "12:30:45", "risk-averse-behaviour"]
)
def test_ordinary_words_are_left(text: str) -> None:
    assert redacted(text) == text


def test_lasting_secrets_outlast_any_number_of_others() -> None:
    lasting, first, last = a_secret(), a_secret(), a_secret()
    memory = redaction._Memory()
    for secret, is_lasting in ((lasting, True), (first, False)):
        memory.add(secret, shown="***", lasting=is_lasting)
    for _ in range(redaction._MOST_REMEMBERED - 1):
        memory.add(a_secret(), shown="***", lasting=False)
    memory.add(last, shown="***", lasting=False)
    assert memory.replace(f"{lasting} {first} {last}") == f"*** {first} ***"


def test_an_error_does_not_repeat_a_secret() -> None:
    one = a_secret()
    remember(one, shown="0123456789ab")
    error = AppError(f"The key {one} or {UNKNOWN[0]} is wrong")
    for shown in (error.message, str(error), repr(error)):
        assert one not in shown
        assert UNKNOWN[0] not in shown
    assert error.message == "The key [key 0123456789ab] or *** is wrong"


SAY = """
import asyncio, logging, structlog
from bottega.core.log import configure_logging
from bottega.core.redaction import remember
configure_logging(level="INFO", json={json})
log = structlog.get_logger()
secret = "hush-very-secret"
remember(secret, shown="0123456789ab")

class Thing:
    def __repr__(self):
        return f"Thing({{secret}})"

log.info("plain", words=f"Bearer {{secret}}", number=1, nothing=None)
nested = {{"headers": [("authorization", secret)], secret: 1}}
log.info(f"event {{secret}}", nested=nested, thing=Thing(), raw=secret.encode())
try:
    raise RuntimeError(f"request with {{secret}}") from ValueError(secret)
except RuntimeError as error:
    log.exception("failed", error=error)
    logging.getLogger("a.library").warning("with %s", secret, exc_info=True)
"""


@pytest.mark.parametrize("as_json", [True, False])
def test_nothing_that_is_logged_holds_a_secret(as_json: bool) -> None:  # noqa: FBT001
    run = subprocess.run([sys.executable, "-c", SAY.format(json=as_json)], capture_output=True, text=True, check=True)
    assert "hush-very-secret" not in run.stderr + run.stdout
    for said in (
        "Bearer [key 0123456789ab]",
        "request with [key",
        "a.library" if not as_json else "with [key",
        "Thing(",
    ):
        assert said in run.stderr or said == "a.library"
    if as_json:
        first = json.loads(run.stderr.splitlines()[0])
        assert (first["number"], first["nothing"], first["level"]) == (1, None, "info")
