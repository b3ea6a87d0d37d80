"""The settings, a group for each part of the product that wants some. Every name has a default."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from platformdirs import user_data_path
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bottega.access.rates import Rate, Rates
from bottega.billing.payments.packages import CreditPackage, parse_package
from bottega.config.values import (
    BotToken,
    EncryptionKeys,
    HttpUrl,
    Model,
    Models,
    Networks,
    Origins,
    Packages,
    PersonIds,
    PostgresUrl,
    RateText,
    RedisUrl,
    Secrets,
    SecretUrl,
    WebhookSecret,
    decoded,
)
from bottega.llm.types import ModelName

ENV_FILE = Path(".env")


class Group(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore", frozen=True, env_ignore_empty=True
    )


class DatabaseSettings(Group):
    """PostgreSQL >= 14. Without any of these an embedded server under `bottega_home` is used."""

    database_url: PostgresUrl | None = None
    postgres_user: str = "bottega"
    postgres_password: SecretStr = SecretStr("")
    postgres_server: str | None = None
    postgres_port: int = Field(default=5432, ge=1, le=65535)
    postgres_db: str = "bottega"

    @property
    def url(self) -> str | None:
        """Return the server's postgresql+asyncpg URL, or None for the embedded server."""
        if self.database_url:
            return self.database_url
        if self.postgres_server:
            password = quote(self.postgres_password.get_secret_value(), safe="")
            login = f"{quote(self.postgres_user, safe='')}:{password}"
            return f"postgresql+asyncpg://{login}@{self.postgres_server}:{self.postgres_port}/{self.postgres_db}"
        return None


class ModelSettings(Group):
    google_api_key: SecretStr | None = None
    google_api_key_pool: Secrets = ()
    gemini_base_url: HttpUrl = "https://generativelanguage.googleapis.com"
    openrouter_api_key: SecretStr | None = None
    openrouter_api_key_pool: Secrets = ()
    openrouter_base_url: HttpUrl = "https://openrouter.ai/api/v1"
    architect_model: Model = "google/gemini-3.1-pro-preview"
    implementer_models: Annotated[Models, Field(min_length=1)] = (
        "openrouter/deepseek/deepseek-v4-flash",
        "openrouter/z-ai/glm-5.3",
        "google/gemini-3.1-pro-preview",
    )

    @property
    def google_keys(self) -> tuple[str, ...]:
        return _keys(self.google_api_key, self.google_api_key_pool)

    @property
    def openrouter_keys(self) -> tuple[str, ...]:
        return _keys(self.openrouter_api_key, self.openrouter_api_key_pool)

    @property
    def architect(self) -> ModelName:
        return ModelName.parse(self.architect_model)

    @property
    def implementers(self) -> tuple[ModelName, ...]:
        return tuple(ModelName.parse(name) for name in self.implementer_models)


def _keys(single: SecretStr | None, pool: tuple[SecretStr, ...]) -> tuple[str, ...]:
    secrets = [*([single] if single else []), *pool]
    return tuple(dict.fromkeys(secret.get_secret_value() for secret in secrets if secret.get_secret_value()))


class BillingSettings(Group):
    """Factors have no more decimals than every call's row keeps of them, so that any charge can be recomputed."""

    platform_credit_value_usd: Decimal = Field(default=Decimal("0.01"), gt=0, max_digits=20, decimal_places=10)
    markup_factor: Decimal = Field(default=Decimal("1.5"), ge=0, max_digits=20, decimal_places=8)
    initial_credits: Decimal = Field(default=Decimal("10.00"), ge=0)
    minimum_credits_to_start: Decimal = Field(default=Decimal("1.00"), ge=0)
    free_credits_per_day: Decimal | None = Field(default=None, ge=0)  # for all new accounts together
    byok_fee_factor: Decimal | None = Field(default=None, ge=0, max_digits=20, decimal_places=8)

    @property
    def own_key_fee(self) -> Decimal:
        """Return what people pay of a provider's bill that went to a key of their own: the platform's part."""
        return max(self.markup_factor - 1, Decimal(0)) if self.byok_fee_factor is None else self.byok_fee_factor


class PaymentSettings(Group):
    """Without a Stripe key the development gateway stands in; in production payments are then off."""

    stripe_secret_key: SecretStr | None = None
    stripe_webhook_secret: Secrets = ()
    stripe_api_base: HttpUrl = "https://api.stripe.com"
    credit_packages: Annotated[Packages, Field(min_length=1)] = (
        "buy_100:100:100:80",
        "buy_500:500:500:400",
        "buy_2000:2000:2000:1600",
    )
    payment_currency: str = Field(default="usd", pattern="^[a-z]{3}$")

    @model_validator(mode="after")
    def _webhooks_can_be_believed(self) -> Self:
        if self.stripe_secret_key is not None and not self.stripe_webhook_secret:
            raise ValueError("STRIPE_WEBHOOK_SECRET: set it beside STRIPE_SECRET_KEY, or nobody's payment is credited")
        return self

    @property
    def packages(self) -> tuple[CreditPackage, ...]:
        return tuple(parse_package(text) for text in self.credit_packages)


class TelegramSettings(Group):
    """Without a webhook the bot asks Telegram for updates. People are named by their Telegram ids."""

    telegram_bot_token: BotToken | None = None
    telegram_api_base_url: HttpUrl = "https://api.telegram.org"
    telegram_webhook_url: HttpUrl | None = None
    telegram_webhook_secret: WebhookSecret | None = None
    telegram_webhook_port: int | None = Field(default=None, ge=1, le=65535)
    telegram_allowed_user_ids: PersonIds = ()
    telegram_admin_ids: PersonIds = ()
    support_contact: str | None = Field(default=None, max_length=200)

    @model_validator(mode="after")
    def _webhook_is_a_bots(self) -> Self:
        if self.telegram_webhook_url is not None and self.telegram_bot_token is None:
            raise ValueError("TELEGRAM_BOT_TOKEN: set it beside TELEGRAM_WEBHOOK_URL, or nobody's updates come there")
        if self.telegram_webhook_port is not None and self.telegram_webhook_url is None:
            raise ValueError(
                "TELEGRAM_WEBHOOK_URL: set it beside TELEGRAM_WEBHOOK_PORT: where Telegram reaches the port"
            )
        return self

    @property
    def webhook_address(self) -> str | None:
        """Return where Telegram delivers: the URL as set, or where we listen for it when a server alone is named."""
        if self.telegram_webhook_url is None or urlsplit(self.telegram_webhook_url).path:
            return self.telegram_webhook_url
        return f"{self.telegram_webhook_url}/telegram/webhook"


class HttpSettings(Group):
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=1, le=65535)
    public_url: HttpUrl = "http://127.0.0.1:8080"


class AccessSettings(Group):
    """Who may come in over HTTP. In development a file of `bottega_home` stands in for the secret."""

    jwt_secret: EncryptionKeys = ()
    rate_limit_person: RateText = "600/minute"
    rate_limit_address: RateText = "1200/minute"
    rate_limit_sign_in: RateText = "10/minute"
    trusted_proxies: Networks = ()
    cors_origins: Origins = ()

    @property
    def token_secrets(self) -> tuple[bytes, ...]:
        """Return the secrets that access tokens are signed with, the newest first."""
        given = (decoded(secret.get_secret_value()) for secret in self.jwt_secret)
        return tuple(dict.fromkeys(key for key in given if key))

    @property
    def rates(self) -> Rates:
        return Rates(
            person=Rate.parse(self.rate_limit_person),
            address=Rate.parse(self.rate_limit_address),
            sign_in=Rate.parse(self.rate_limit_sign_in),
        )


class RedisSettings(Group):
    """Where Celery's messages go. Without any of these every process drives runs by itself."""

    redis_url: RedisUrl | None = None
    redis_host: str | None = None
    redis_port: int = Field(default=6379, ge=1, le=65535)
    redis_db: int = Field(default=0, ge=0)

    @property
    def url(self) -> str | None:
        """Return the server's redis:// URL, or None for the in-process runner."""
        if self.redis_url or not self.redis_host:
            return self.redis_url
        return f"redis://{self.redis_host}:{self.redis_port}/{self.redis_db}"


class RunnerSettings(Group):
    runs_at_once: int = Field(default=64, ge=1, le=10_000)  # of one process
    runs_at_once_per_person: int = Field(default=3, ge=1)
    heartbeat_file: Path | None = None


class TelemetrySettings(Group):
    """Metrics are served where a port is set, to this machine unless told otherwise; traces are sent where asked to."""

    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    otel_enabled: bool | None = None  # unset: where an endpoint is
    otel_exporter_otlp_endpoint: HttpUrl | None = None
    otel_service_name: str = "bottega"


class RefinementSettings(Group):
    refiner: Literal["auto", "aider", "implementer"] = "auto"
    aider_command: str = "aider"
    aider_timeout_seconds: int = Field(default=600, ge=10)


class CeilingSettings(Group):
    """How far a run goes before its person is asked; each time they say to go on, it may go as far again."""

    max_working_hours: float = Field(default=24, gt=0, le=8760, allow_inf_nan=False)
    max_attempts_per_task: int = Field(default=20, ge=1, le=1000)
    max_steps_per_run: int = Field(default=2000, ge=1, le=1_000_000)


class DeliverySettings(Group):
    """Without a key the bucket's own library looks for one as clouds lend them: a role, a file, its own variables."""

    storage_url: str | None = None  # file under BOTTEGA_HOME
    storage_endpoint: HttpUrl | None = None
    storage_region: str | None = None
    storage_access_key_id: SecretStr | None = None
    storage_secret_access_key: SecretStr | None = None

    @model_validator(mode="after")
    def _are_for_a_bucket_that_speaks_s3(self) -> Self:
        if self.s3_options and not (self.storage_url or "").startswith("s3://"):
            raise ValueError("STORAGE_URL: write s3://bucket/prefix beside STORAGE_ENDPOINT, _REGION and the two keys")
        if (self.storage_access_key_id is None) != (self.storage_secret_access_key is None):
            raise ValueError("STORAGE_ACCESS_KEY_ID and STORAGE_SECRET_ACCESS_KEY: set both or neither")
        return self

    @property
    def s3_options(self) -> dict[str, str]:
        """Return what an S3 bucket is opened with beside its URL, by the names its library has for them."""
        given: dict[str, str | SecretStr | None] = {
            "endpoint": self.storage_endpoint,
            "region": self.storage_region,
            "access_key_id": self.storage_access_key_id,
            "secret_access_key": self.storage_secret_access_key,
        }
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in given.items()
            if value is not None
        }


class SandboxSettings(Group):
    sandbox: Literal["auto", "bubblewrap", "landlock", "none"] = "auto"
    sandbox_slots: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)  # trees checked at once in a process


class AlertSettings(Group):
    """The address is a secret: whoever has it can write where the operator reads."""

    alert_webhook_url: SecretUrl | None = None


class PlatformSettings(Group):
    app_env: Literal["development", "staging", "production"] = "development"
    api_key_encryption_key: EncryptionKeys = ()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    bottega_home: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default_factory=lambda: user_data_path("bottega", appauthor=False)
    )

    @model_validator(mode="after")
    def _is_given_where_it_matters(self) -> Self:
        if self.app_env != "development" and not self.api_key_encryption_key:
            raise ValueError(
                f"API_KEY_ENCRYPTION_KEY: it must be set in {self.app_env}: make one with `openssl rand -base64 32`"
            )
        return self

    @property
    def encryption_keys(self) -> tuple[bytes, ...]:
        """Return the keys that kept provider keys are encrypted with, the newest first."""
        given = (decoded(secret.get_secret_value()) for secret in self.api_key_encryption_key)
        return tuple(dict.fromkeys(key for key in given if key))
