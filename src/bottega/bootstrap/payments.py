"""Which payment gateways this installation has."""

from bottega.billing.payments.development import DevelopmentGateway
from bottega.billing.payments.gateway import PaymentGateway
from bottega.billing.payments.service import PaymentService
from bottega.billing.payments.telegram_stars import TelegramStars
from bottega.config import Settings
from bottega.core.clock import Clock
from bottega.db.transaction import Database
from bottega.orchestration import funding


def payment_service(settings: Settings, *, database: Database, clock: Clock) -> PaymentService:
    return PaymentService(
        database=database,
        gateways=_payment_gateways(settings, clock=clock),
        packages=settings.payments.packages,
        clock=clock,
        on_top_up=funding.wake_for_credits,
    )


def _payment_gateways(settings: Settings, *, clock: Clock) -> list[PaymentGateway]:
    """Return Stripe, or what stands in for it while developing; and Telegram Stars where there is a bot."""
    payments, gateways = settings.payments, list[PaymentGateway]()
    production, public_url = settings.platform.app_env == "production", settings.http.public_url
    currency = payments.payment_currency
    if payments.stripe_secret_key is not None:
        from bottega.billing.payments.stripe_checkout import StripeCheckout  # noqa: PLC0415 -- half a second

        stripe = StripeCheckout(
            secret_key=payments.stripe_secret_key.get_secret_value(),
            webhook_secrets=[secret.get_secret_value() for secret in payments.stripe_webhook_secret],
            api_base=payments.stripe_api_base,
            public_url=public_url,
            currency=currency,
            clock=clock,
        )
        gateways.append(stripe)
    elif settings.platform.app_env == "development":
        gateways.append(DevelopmentGateway(public_url=public_url, currency=currency, production=production))
    if settings.telegram.telegram_bot_token is not None:
        token = settings.telegram.telegram_bot_token.get_secret_value()
        gateways.append(TelegramStars(bot_token=token, base_url=settings.telegram.telegram_api_base_url))
    return gateways
