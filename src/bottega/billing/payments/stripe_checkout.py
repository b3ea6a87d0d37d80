"""Stripe Checkout, the only module that imports its SDK.

A webhook is believed only with a signature made with one of our secrets over its very bytes, at most five minutes
away from now in either direction. The SDK's requests travel over our own wire, with its retries and idempotency keys.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import stripe
import structlog

from bottega.billing.payments.packages import CreditPackage
from bottega.billing.payments.stripe_events import (
    LARGEST_BODY,
    checkout_facts,
    dispute_facts,
    read_event,
    refund_facts,
)
from bottega.billing.payments.types import (
    BadSignature,
    Buyer,
    Fact,
    GatewayEvent,
    GatewayRefused,
    GatewayUnavailable,
    MalformedWebhook,
    OpenedCheckout,
    Order,
    Price,
    RefundRequest,
)
from bottega.billing.payments.wire import Unreachable, Wire
from bottega.core.clock import Clock

STRIPE = "stripe"
TOLERANCE_SECONDS = 300
RETRIES = 2
PAGE = 100
SERVER_ERRORS = 500  # and above

# A refund may fail, and a dispute be decided, long after it was made; both are few, so they are looked at again.
REFUNDS_MATURE = timedelta(days=35)
DISPUTES_MATURE = timedelta(days=120)

log = structlog.get_logger()


class StripeCheckout:
    name = STRIPE
    refunds_in_part = True

    def __init__(
        self,
        *,
        secret_key: str,
        webhook_secrets: Sequence[str],
        api_base: str,
        public_url: str,
        currency: str,
        clock: Clock,
    ) -> None:
        self._secrets = tuple(webhook_secrets)
        self._public_url = public_url
        self._currency = currency
        self._clock = clock
        self._http = _Http()
        self.livemode = "_live_" in secret_key
        self._client = stripe.StripeClient(
            secret_key, base_addresses={"api": api_base}, max_network_retries=RETRIES, http_client=self._http
        )

    def price(self, package: CreditPackage) -> Price:
        return Price(amount_minor=package.price_minor, currency=self._currency)

    def payer(self, buyer: Buyer) -> str:
        return str(buyer.user_id)

    async def open_checkout(self, order: Order) -> OpenedCheckout:
        metadata = {"order_id": str(order.id), "user_id": str(order.user_id), "package": order.package}
        with _told():
            session = await self._client.v1.checkout.sessions.create_async(
                {
                    "mode": "payment",
                    "client_reference_id": order.payer,
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": order.currency,
                                "unit_amount": order.amount_minor,
                                "product_data": {"name": f"{order.credits.normalize():f} credits"},
                            },
                        }
                    ],
                    "metadata": metadata,
                    "payment_intent_data": {"metadata": metadata},  # charges carry only this one
                    "success_url": f"{self._public_url}/checkout/success?order={order.id}",
                    "cancel_url": f"{self._public_url}/checkout/cancel?order={order.id}",
                },
                {"idempotency_key": f"checkout:{order.id}"},
            )
        if not session.url:
            raise GatewayRefused("Stripe opened a checkout without a page; nothing was charged.")
        return OpenedCheckout(url=session.url, session_id=session.id)

    def read(self, *, body: bytes, headers: Mapping[str, str]) -> GatewayEvent:
        if len(body) > LARGEST_BODY:
            raise MalformedWebhook(f"The webhook is larger than {LARGEST_BODY} bytes.")
        self._verify(body, header=headers.get("stripe-signature", ""))
        return read_event(body)

    async def refund(self, request: RefundRequest) -> Fact:
        with _told():
            refund = await self._client.v1.refunds.create_async(
                {
                    "payment_intent": request.payment_id,
                    "amount": request.amount_minor,
                    "metadata": {"order_id": str(request.order.id)},
                },
                {"idempotency_key": request.key},
            )
        (fact,) = refund_facts(refund.to_dict())
        return fact

    async def history(self, *, since: datetime) -> AsyncGenerator[Fact, None]:
        now = self._clock.now()
        api = self._client.v1
        with _told():
            async for session in (await api.checkout.sessions.list_async(_page(since))).auto_paging_iter():
                for fact in _read(checkout_facts, session):
                    yield fact
            refunds_since = min(since, now - REFUNDS_MATURE)
            async for refund in (await api.refunds.list_async(_page(refunds_since))).auto_paging_iter():
                for fact in _read(refund_facts, refund):
                    yield fact
            disputes_since = min(since, now - DISPUTES_MATURE)
            async for dispute in (await api.disputes.list_async(_page(disputes_since))).auto_paging_iter():
                for fact in _read(dispute_facts, dispute):
                    yield fact

    async def close(self) -> None:
        await self._http.close_async()

    def _verify(self, body: bytes, *, header: str) -> None:
        if not header.isascii():  # the SDK cannot even compare it
            raise BadSignature("The webhook carries no Stripe signature.")
        age = self._clock.now().timestamp() - _timestamp(header)
        if abs(age) > TOLERANCE_SECONDS:
            raise BadSignature("The webhook's signature is too old, or of the future; is the clock right?")
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(body, header, secret)
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            return
        raise BadSignature("The webhook is not signed with a secret of ours (STRIPE_WEBHOOK_SECRET).")


class _Http(stripe.HTTPClient):
    """The SDK's way out, over our wire."""

    name = "bottega"

    def __init__(self) -> None:
        super().__init__()
        self._wire = Wire()

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._wire.send(method=method.upper(), url=url, headers=headers, body=post_data)
        except Unreachable as error:
            raise _unreachable(str(error)) from error
        return answer.body, answer.status, answer.headers

    def sleep_async(self, secs: float) -> Any:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        await self._wire.close()


def _unreachable(why: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(why, should_retry=True)  # type: ignore[no-untyped-call]  # the SDK's own gap


@contextmanager
def _told() -> Iterator[None]:
    """Turn the SDK's errors into ours. Its words may name objects and amounts, never the key."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise GatewayUnavailable("Stripe could not be reached. Nothing was lost; try again.") from error
    except stripe.StripeError as error:
        if error.http_status is None or error.http_status >= SERVER_ERRORS:
            raise GatewayUnavailable("Stripe failed to answer. Nothing was lost; try again.") from error
        log.warning("payments.stripe.refused", status=error.http_status, code=error.code, request=error.request_id)
        raise GatewayRefused(f"Stripe refused: {error.user_message or error.code or 'no reason given'}") from error


def _page(since: datetime) -> Any:
    return {"created": {"gte": int(since.timestamp())}, "limit": PAGE}


def _read(reader: Callable[[Mapping[str, Any]], tuple[Fact, ...]], subject: stripe.StripeObject) -> tuple[Fact, ...]:
    """Read one object of a list; one that cannot be read must not keep the others from being healed."""
    given = subject.to_dict()
    try:
        return reader(given)
    except MalformedWebhook as error:
        log.warning("payments.stripe.unreadable", object=str(given.get("id"))[:100], problem=error.message)
        return ()


def _timestamp(header: str) -> int:
    """Return the instant a signature was made at: the first `t=`, as the SDK reads it."""
    times = [value for name, _, value in (part.partition("=") for part in header.split(",")) if name == "t"]
    if not times or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > len("9999999999"):
        raise BadSignature("The webhook carries no Stripe signature.")
    return int(times[0])
