"""Settings: what may be set, what it means, and that .env.example tells the truth about both."""

import base64
import dataclasses
import hashlib
import re
from decimal import Decimal
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic_settings import BaseSettings
from sqlalchemy import make_url

from bottega.config import InvalidSettings, Settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"
SETTING = re.compile(r"#([A-Z_]+)=")
GROUPS: dict[str, type[BaseSettings]] = get_type_hints(Settings)
NAMES = [name.upper() for group in GROUPS.values() for name in group.model_fields]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in an empty folder, with none of the settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def load(**variables: str) -> Settings:
    Path(".env").write_text("".join(f"{name}='{value}'\n" for name, value in variables.items()), encoding="utf-8")
    return Settings.load()


def problems(**variables: str) -> list[str]:
    with pytest.raises(InvalidSettings) as raised:
        load(**variables)
    return [line.removeprefix("  - ") for line in raised.value.message.splitlines()[1:]]


def test_nothing_need_be_set() -> None:
    assert Settings.load().database.url is None


def test_the_example_names_every_setting_once_and_nothing_else() -> None:
    assert sorted(SETTING.findall(EXAMPLE.read_text(encoding="utf-8"))) == sorted(NAMES)


def test_the_example_with_every_line_uncommented_changes_nothing() -> None:
    defaults = Settings.load()
    text = EXAMPLE.read_text(encoding="utf-8")
    Path(".env").write_text(SETTING.sub(lambda line: f"{line[1]}=", text), encoding="utf-8")
    assert dataclasses.asdict(Settings.load()) == dataclasses.asdict(defaults)


def test_an_empty_value_is_the_default() -> None:
    assert load(MARKUP_FACTOR="", DATABASE_URL="", IMPLEMENTER_MODELS="") == Settings.load()


@pytest.mark.parametrize(
    ("single", "pool", "keys"),
    [
        ("a", "", ("a",)),
        ("", "a,b", ("a", "b")),
        ("a", " b , a ,, c ,", ("a", "b", "c")),
        ("", " , ", ()),
    ],
)
def test_a_pool_is_comma_separated_and_holds_each_key_once(single: str, pool: str, keys: tuple[str, ...]) -> None:
    settings = load(GOOGLE_API_KEY=single, GOOGLE_API_KEY_POOL=pool, OPENROUTER_API_KEY_POOL=pool)
    assert settings.models.google_keys == keys


def test_keys_and_passwords_are_not_shown() -> None:
    settings = load(GOOGLE_API_KEY="a-secret", OPENROUTER_API_KEY_POOL="a-secret,b", POSTGRES_PASSWORD="a-secret")
    assert "a-secret" not in repr(settings)


@pytest.mark.parametrize("password", ["", "plain", "p@ss:w/rd?#%", "naïve 密"])
def test_a_postgres_password_survives_the_url(password: str) -> None:
    settings = load(POSTGRES_SERVER="db", POSTGRES_USER="me@home", POSTGRES_PASSWORD=password, POSTGRES_PORT="6432")
    url = make_url(settings.database.url or "")
    assert (url.drivername, url.username, url.password or "", url.host, url.port, url.database) == (
        "postgresql+asyncpg",
        "me@home",
        password,
        "db",
        6432,
        "bottega",
    )


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql://u@h:1/d", "postgresql+asyncpg://u@h:1/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql://u:sslmode=@h/d?sslmode=require", "postgresql+asyncpg://u:sslmode=@h/d?ssl=require"),
    ],
)
def test_every_way_to_write_a_database_url_leads_to_our_driver(given: str, used: str) -> None:
    assert load(DATABASE_URL=given).database.url == used


def test_database_url_comes_before_the_parts() -> None:
    assert load(DATABASE_URL="postgresql://u@h/d", POSTGRES_SERVER="other").database.url == "postgresql+asyncpg://u@h/d"


def test_a_home_may_begin_with_a_tilde() -> None:
    assert load(BOTTEGA_HOME="~/bottega").platform.bottega_home == Path.home() / "bottega"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PORT", "0"),
        ("POSTGRES_PORT", "five"),
        ("PLATFORM_CREDIT_VALUE_USD", "0"),
        ("MARKUP_FACTOR", "-0.5"),
        ("MARKUP_FACTOR", "NaN"),
        ("MARKUP_FACTOR", "1.333333333"),
        ("BYOK_FEE_FACTOR", "-0.1"),
        ("BYOK_FEE_FACTOR", "0.333333333"),
        ("PLATFORM_CREDIT_VALUE_USD", "0.01000000001"),
        ("INITIAL_CREDITS", "Infinity"),
        ("MINIMUM_CREDITS_TO_START", "1,5"),
        ("LOG_LEVEL", "LOUD"),
        ("DATABASE_URL", "sqlite:///bottega.db"),
        ("GEMINI_BASE_URL", "generativelanguage.googleapis.com"),
        ("OPENROUTER_BASE_URL", "http://"),
        ("ARCHITECT_MODEL", "gemini-pro"),
        ("IMPLEMENTER_MODELS", "google/gemini-pro,model"),
        ("IMPLEMENTER_MODELS", ","),
        ("CREDIT_PACKAGES", ","),
        ("CREDIT_PACKAGES", "buy_100:100:100"),
        ("CREDIT_PACKAGES", "buy_100:100:100:80,buy_100:200:200:160"),
        ("PAYMENT_CURRENCY", "dollars"),
    ],
)
def test_a_malformed_value_is_named_with_its_setting(name: str, value: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"{name}: ")


def test_every_problem_is_told_at_once() -> None:
    told = problems(MARKUP_FACTOR="much", SANDBOX="chroot", POSTGRES_PORT="x", IMPLEMENTER_MODELS="x,y")
    assert {line.partition(":")[0] for line in told} == {
        "MARKUP_FACTOR",
        "SANDBOX",
        "POSTGRES_PORT",
        "IMPLEMENTER_MODELS",
    }


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, ("GOOGLE_API_KEY", "OPENROUTER_API_KEY")),
        ({"GOOGLE_API_KEY": "k"}, ("OPENROUTER_API_KEY",)),
        ({"GOOGLE_API_KEY_POOL": "k", "OPENROUTER_BASE_URL": "http://localhost:11434/v1"}, ()),
        ({"ARCHITECT_MODEL": "scripted/a", "IMPLEMENTER_MODELS": "scripted/b"}, ()),
    ],
)
def test_only_the_keys_that_will_be_needed_are_missed(variables: dict[str, str], missing: tuple[str, ...]) -> None:
    assert load(**variables).missing_keys() == missing


def test_a_provider_whose_keys_are_kept_is_not_missed() -> None:
    assert load().missing_keys(kept={"google"}) == ("OPENROUTER_API_KEY",)
    assert load().missing_keys(kept={"google", "openrouter"}) == ()


# -- encryption keys --------------------------------------------------------------------------------------------------

RANDOM = [hashlib.sha256(bytes([number])).digest() for number in range(2)]
FIRST, SECOND = (base64.b64encode(key).decode() for key in RANDOM)


def test_encryption_keys_are_read_newest_first_in_either_alphabet() -> None:
    url_safe = SECOND.replace("+", "-").replace("/", "_").rstrip("=")
    settings = load(API_KEY_ENCRYPTION_KEY=f" {FIRST} , {url_safe},{FIRST}")
    assert settings.platform.encryption_keys == tuple(RANDOM)
    assert FIRST not in repr(settings)


@pytest.mark.parametrize("env", ["staging", "production"])
def test_outside_development_an_encryption_key_is_required(env: str) -> None:
    (problem,) = problems(APP_ENV=env)
    assert problem.startswith(f"API_KEY_ENCRYPTION_KEY: it must be set in {env}")
    assert load(APP_ENV=env, API_KEY_ENCRYPTION_KEY=FIRST).platform.encryption_keys == (RANDOM[0],)


@pytest.mark.parametrize(
    "value",
    [
        "change-me",
        "not base64 at all!",
        base64.b64encode(RANDOM[0][:31]).decode(),
        base64.b64encode(RANDOM[0] + b"x").decode(),
        base64.b64encode(bytes(32)).decode(),
        base64.b64encode(b"0123456789abcdefghijklmnopqrstuv").decode(),
        f"{FIRST},short",
        f"short,{FIRST}",
        " , ",
    ],
    ids=["words", "no base64", "short", "long", "zeros", "a sample", "second short", "first short", "only a comma"],
)
@pytest.mark.parametrize("env", ["development", "production"])
def test_what_is_no_encryption_key_stops_the_start_without_being_shown(env: str, value: str) -> None:
    told = problems(APP_ENV=env, API_KEY_ENCRYPTION_KEY=value)
    assert len(told) == 1
    assert told[0].startswith("API_KEY_ENCRYPTION_KEY: ")
    assert not any(part.strip() and part.strip() in told[0] for part in value.split(","))


def test_a_stripe_key_wants_the_secret_that_its_webhooks_are_signed_with() -> None:
    [told] = problems(STRIPE_SECRET_KEY="sk_test_1")
    assert told.startswith("STRIPE_WEBHOOK_SECRET: ")
    assert "sk_test_1" not in told
    assert load(STRIPE_SECRET_KEY="sk_test_1", STRIPE_WEBHOOK_SECRET="whsec_1").payments.stripe_secret_key


def test_every_secret_that_is_set_is_known_to_be_one() -> None:
    settings = load(
        GOOGLE_API_KEY="g-secret",
        OPENROUTER_API_KEY_POOL="o-secret,p-secret",
        TELEGRAM_BOT_TOKEN="1:t-secret",
        STRIPE_SECRET_KEY="s-secret",
        STRIPE_WEBHOOK_SECRET="w-secret",
        API_KEY_ENCRYPTION_KEY=FIRST,
        DATABASE_URL="postgresql://me:d-secret@h/d",
    )
    letters = [f"{letter}-secret" for letter in "gopstwd"]
    assert {secret.removeprefix("1:") for secret in settings.secrets()} == {*letters, FIRST}


def test_money_is_read_as_it_is_written() -> None:
    assert load(PLATFORM_CREDIT_VALUE_USD="0.0100000001").billing.platform_credit_value_usd == Decimal("0.0100000001")


def test_a_bucket_is_opened_with_what_is_set_and_its_key_is_a_secret() -> None:
    settings = load(
        STORAGE_URL="s3://bottega/archives",
        STORAGE_ENDPOINT="http://storage:9000/",
        STORAGE_ACCESS_KEY_ID="an-id",
        STORAGE_SECRET_ACCESS_KEY="a-secret",
    )
    assert settings.delivery.s3_options == {
        "endpoint": "http://storage:9000",
        "access_key_id": "an-id",
        "secret_access_key": "a-secret",
    }
    assert {"an-id", "a-secret"} <= set(settings.secrets())
    assert load().delivery.s3_options == {}


@pytest.mark.parametrize("url", ["", "file:///archives", "gs://bucket/archives"])
def test_an_s3_endpoint_without_an_s3_bucket_is_refused(url: str) -> None:
    assert "s3://bucket/prefix" in problems(STORAGE_URL=url, STORAGE_ENDPOINT="http://storage:9000")[0]


def test_half_a_storage_key_is_refused() -> None:
    assert "both or neither" in problems(STORAGE_URL="s3://bucket", STORAGE_ACCESS_KEY_ID="an-id")[0]


# -- who may come in --------------------------------------------------------------------------------------------------


def test_secrets_for_tokens_are_read_newest_first_and_are_secrets() -> None:
    settings = load(JWT_SECRET=f"{SECOND},{FIRST}")
    assert settings.access.token_secrets == (RANDOM[1], RANDOM[0])
    assert {FIRST, SECOND} <= set(settings.secrets())
    assert FIRST not in repr(settings)
    assert load().access.token_secrets == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", "change-me"),
        ("JWT_SECRET", f"{FIRST},short"),
        ("JWT_SECRET", ","),
        ("RATE_LIMIT_PERSON", "600"),
        ("RATE_LIMIT_PERSON", "0/minute"),
        ("RATE_LIMIT_ADDRESS", "many/minute"),
        ("RATE_LIMIT_SIGN_IN", "10/fortnight"),
        ("TRUSTED_PROXIES", "proxy"),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "app.test"),
        ("CORS_ORIGINS", "https://app.test/"),
        ("CORS_ORIGINS", "https://app.test,null"),
    ],
)
def test_what_would_let_the_wrong_ones_in_stops_the_start(name: str, value: str) -> None:
    told = problems(**{name: value})
    assert told
    assert all(line.startswith(f"{name}: ") for line in told)


def test_proxies_and_origins_are_lists() -> None:
    settings = load(TRUSTED_PROXIES="10.0.0.0/8, ::1", CORS_ORIGINS="https://App.test, http://localhost:3000")
    assert settings.access.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.access.cors_origins == ("https://app.test", "http://localhost:3000")
    assert settings.access.rates.sign_in.amount == 10
