"""Settings: the only reader of the environment, and of `.env` in the current folder.

Every name has a default, so that nothing need be set. What is malformed stops the start with one readable list. Domain
code never sees this folder: the composition root hands it values.
"""

from bottega.config.groups import (
    AccessSettings,
    AlertSettings,
    BillingSettings,
    CeilingSettings,
    DatabaseSettings,
    DeliverySettings,
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
from bottega.config.loading import InvalidSettings, Settings

__all__ = [
    "AccessSettings",
    "AlertSettings",
    "BillingSettings",
    "CeilingSettings",
    "DatabaseSettings",
    "DeliverySettings",
    "HttpSettings",
    "InvalidSettings",
    "ModelSettings",
    "PaymentSettings",
    "PlatformSettings",
    "RedisSettings",
    "RefinementSettings",
    "RunnerSettings",
    "SandboxSettings",
    "Settings",
    "TelegramSettings",
    "TelemetrySettings",
]
