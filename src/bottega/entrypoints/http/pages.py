"""The few pages a person sees of a payment: where a checkout leads back to, and the development gateway's own.

A page says what happens next and decides nothing: whoever opens the page of thanks has not thereby paid.
"""

import html
import uuid
from typing import Protocol

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bottega.billing.payments.types import Order
from bottega.core.errors import AppError
from bottega.core.money import show_credits, show_price
from bottega.entrypoints.relay.body import read_body

FORM_LIMIT_BYTES = 4 * 1024
_POLICY = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_THANKS = (
    "Thank you. Your credits arrive as soon as the payment is confirmed, which takes moments with most cards and days"
    " with some banks. Whatever waits for credits then goes on by itself."
)
_NOT_PAID = "Nothing was paid. You can order again whenever you like."


class DevelopmentPayments(Protocol):
    async def dev_order(self, *, order_id: uuid.UUID) -> Order:
        """Return an order that can be paid without money; raise an AppError of status 404."""
        ...

    async def dev_pay(self, *, order_id: uuid.UUID) -> None:
        """Pay it."""
        ...


class UnknownOrder(AppError):
    code = "unknown_order"
    http_status = 404

    def __init__(self) -> None:
        super().__init__("There is no such order.")


def add_landing_pages(app: FastAPI) -> None:
    @app.get("/checkout/success", response_model=None)
    async def success() -> Response:
        return _page("Checkout", f"<p>{_THANKS}</p>")

    @app.get("/checkout/cancel", response_model=None)
    async def cancel() -> Response:
        return _page("Checkout", f"<p>{_NOT_PAID}</p>")


def add_development_checkout(app: FastAPI, payments: DevelopmentPayments) -> None:
    @app.get("/dev/checkout/{order_id}", response_model=None)
    async def page(order_id: str) -> Response:
        order = await payments.dev_order(order_id=_order_id(order_id))
        price = show_price(order.amount_minor, currency=order.currency)
        what = html.escape(f"{show_credits(order.credits)} credits for {price}. No money moves here.")
        return _page("Development checkout", f'<p>{what}</p><form method="post"><button>Pay</button></form>')

    @app.post("/dev/checkout/{order_id}", response_model=None)
    async def pay(request: Request, order_id: str) -> Response:
        await read_body(request, limit_bytes=FORM_LIMIT_BYTES)
        await payments.dev_pay(order_id=_order_id(order_id))
        return _page("Development checkout", "<p>Paid. You may close this page.</p>")


def _order_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise UnknownOrder from error


def _page(title: str, content: str) -> Response:
    document = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<h1>{title}</h1>{content}</html>"
    )
    return HTMLResponse(document, headers={"Content-Security-Policy": _POLICY})
