"""Reading the settings: all faults in one readable list, or a value that domain code is handed pieces of."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from bottega.config.groups import (
    ENV_FILE,
    AccessSettings,
    AlertSettings,
    BillingSettings,
    CeilingSettings,
    DatabaseSettings,
    DeliverySettings,
    Group,
    HttpSettings,
    ModelSettings,
    PaymentSettings,
    PlatformSettings,
    RedisSettings,
    RefinementSettings,
    RunnerSettings,
    SandboxSettings,
    TelegramSettings,
    TelemetrySettings,
)
from bottega.core.errors import AppError

S = TypeVar("S", bound=BaseSettings)


class InvalidSettings(AppError):
    code = "invalid_settings"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("The settings cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of it, one group for each folder that wants some. `load` is the way in."""

    platform: PlatformSettings
    database: DatabaseSettings
    models: ModelSettings
    billing: BillingSettings
    payments: PaymentSettings
    telegram: TelegramSettings
    http: HttpSettings
    access: AccessSettings
    redis: RedisSettings
    runner: RunnerSettings
    telemetry: TelemetrySettings
    refinement: RefinementSettings
    ceilings: CeilingSettings
    delivery: DeliverySettings
    sandbox: SandboxSettings
    alerts: AlertSettings

    @classmethod
    def load(cls) -> Self:
        """Read the environment and `.env`.

        Raises:
            InvalidSettings: with every fault in one list.
        """
        problems = _unreadable_lines(ENV_FILE)
        kinds: dict[str, type[Group]] = {
            "platform": PlatformSettings,
            "database": DatabaseSettings,
            "models": ModelSettings,
            "billing": BillingSettings,
            "payments": PaymentSettings,
            "telegram": TelegramSettings,
            "http": HttpSettings,
            "access": AccessSettings,
            "redis": RedisSettings,
            "runner": RunnerSettings,
            "telemetry": TelemetrySettings,
            "refinement": RefinementSettings,
            "ceilings": CeilingSettings,
            "delivery": DeliverySettings,
            "sandbox": SandboxSettings,
            "alerts": AlertSettings,
        }
        groups: dict[str, Any] = {name: _read(kind, problems) for name, kind in kinds.items()}
        if problems or None in groups.values():
            raise InvalidSettings(list(dict.fromkeys(problems)))
        return cls(**groups)

    def secrets(self) -> Iterator[str]:
        """Yield everything set that nobody may read."""
        for group in fields(self):
            for value in dict(getattr(self, group.name)).values():
                for item in value if isinstance(value, tuple) else (value,):
                    if isinstance(item, SecretStr) and item.get_secret_value():
                        yield item.get_secret_value()
        for url in (self.database.database_url, self.redis.redis_url):
            if password := urlsplit(url or "").password:
                yield password

    def missing_keys(self, *, kept: Collection[str] = ()) -> tuple[str, ...]:
        """Return the names of the keys that the configured models want and that are neither set nor `kept`.

        `kept` names the providers with keys in the database. A server of one's own (OPENROUTER_BASE_URL) may need none.
        """
        providers = {model.provider for model in (self.models.architect, *self.models.implementers)} - set(kept)
        own_server = "openrouter_base_url" in self.models.model_fields_set
        missing = {
            "GOOGLE_API_KEY": "google" in providers and not self.models.google_keys,
            "OPENROUTER_API_KEY": "openrouter" in providers and not self.models.openrouter_keys and not own_server,
        }
        return tuple(name for name, is_missing in missing.items() if is_missing)


def _unreadable_lines(path: Path) -> list[str]:
    """Return what is wrong with the file as a file; a library that only logs would let half of it pass."""
    try:
        with path.open(encoding="utf-8") as file:
            broken = [line.original.line for line in parse_stream(file) if line.error]
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        return [".env: the file is not UTF-8 text; write NAME=value lines or remove it"]
    except OSError as error:
        return [f".env: the file cannot be read ({error.strerror})"]
    return [f".env: line {line} is not NAME=value" for line in broken]


def _read(kind: Callable[[], S], problems: list[str]) -> S | None:
    try:
        return kind()
    except ValidationError as error:
        for fault in error.errors():
            name = str(fault["loc"][0]).upper() if fault["loc"] else ""
            message = fault["msg"].removeprefix("Value error, ")
            problems.append(f"{name}: {message}" if name else message)
    except (UnicodeDecodeError, OSError):
        pass  # `_unreadable_lines` has said it
    return None
