"""What a setting may be: each kind refuses what is malformed, in a sentence that says what to write."""

import base64
import binascii
import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from bottega.access.rates import BadRate, Rate
from bottega.billing.payments.packages import parse_package
from bottega.llm.types import ModelName, UnknownModelName

ENCRYPTION_KEY_BYTES = 32
_BOT_TOKEN = re.compile("[0-9]{1,20}:[A-Za-z0-9_-]{1,100}")
_WEBHOOK_SECRET = re.compile("[A-Za-z0-9_-]{16,256}")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _model_name(text: str) -> str:
    try:
        ModelName.parse(text)
    except UnknownModelName as error:
        raise ValueError(error.message) from error
    return text


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("write a URL that begins with http:// or https://")
    return text.rstrip("/")


def _secret_url(secret: SecretStr) -> SecretStr:
    _http_url(secret.get_secret_value())
    return secret  # as it was written: a slash at its end may matter


def _postgres_url(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError("write postgresql://user:password@host:port/database")
    server, mark, query = rest.partition("?")
    return f"postgresql+asyncpg://{server}{mark}{query.replace('sslmode=', 'ssl=')}"  # libpq's name, asyncpg's name


def _redis_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise ValueError("write redis://:password@host:port/number, or rediss:// for TLS")
    return text


def _bot_token(secret: SecretStr) -> SecretStr:
    if not _BOT_TOKEN.fullmatch(secret.get_secret_value()):
        raise ValueError("write it as BotFather gave it: digits, a colon, then letters and digits")
    return secret


def _webhook_secret(secret: SecretStr) -> SecretStr:
    if not _WEBHOOK_SECRET.fullmatch(secret.get_secret_value()):
        raise ValueError("write 16 to 256 letters, digits, _ or -, or leave it unset: one is made from the bot's token")
    return secret


def _package(text: str) -> str:
    parse_package(text)
    return text


def _each_name_once(packages: tuple[str, ...]) -> tuple[str, ...]:
    names = [parse_package(text).name for text in packages]
    if len(names) > len(set(names)):
        raise ValueError("two packages have one name")
    return packages


def _rate(text: str) -> str:
    try:
        Rate.parse(text)
    except BadRate as error:
        raise ValueError(error.message) from error
    return text


def _origin(text: str) -> str:
    """Refuse what a browser would never send as an Origin, and everybody's (`*`)."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("write origins such as https://app.example.org, without a path, separated by commas")
    return text.lower()


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError("write addresses or networks such as 10.0.0.0/8, separated by commas") from error


def _encryption_key(secret: SecretStr) -> SecretStr:
    """Refuse what is not 32 random bytes; a word, a pattern and a sample are no key, however long."""
    key = decoded(secret.get_secret_value())
    if key is None:
        raise ValueError("write base64; several keys are separated by commas, the newest first")
    if len(key) != ENCRYPTION_KEY_BYTES:
        raise ValueError(f"each key is {ENCRYPTION_KEY_BYTES} bytes in base64; this one has {len(key)}")
    if len(set(key)) < ENCRYPTION_KEY_BYTES // 2 or (key.isascii() and key.decode().isprintable()):
        raise ValueError("this key is not random: make one with `openssl rand -base64 32`")
    return secret


def decoded(text: str) -> bytes | None:
    """Return the bytes of base64 in either alphabet, padded or not."""
    try:
        standard = text.translate(str.maketrans("-_", "+/")).rstrip("=")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None


def _split_some(value: object) -> object:
    if isinstance(value, str) and not _split(value):
        raise ValueError("there is no key between the commas")
    return _split(value)


Models = Annotated[tuple[Annotated[str, AfterValidator(_model_name)], ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
Packages = Annotated[
    tuple[Annotated[str, AfterValidator(_package)], ...],
    NoDecode,
    BeforeValidator(_split),
    AfterValidator(_each_name_once),
]
EncryptionKeys = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_encryption_key)], ...],
    NoDecode,
    BeforeValidator(_split_some),
]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_split)]
RateText = Annotated[str, AfterValidator(_rate)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
BotToken = Annotated[SecretStr, AfterValidator(_bot_token)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_webhook_secret)]
PersonIds = Annotated[tuple[Annotated[int, Field(gt=0, lt=2**52)], ...], NoDecode, BeforeValidator(_split)]
Model = Annotated[str, AfterValidator(_model_name)]
