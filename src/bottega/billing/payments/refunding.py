"""What to ask a gateway for when money is to be given back: pure, from an order and its payments."""

from collections.abc import Sequence

from bottega.billing.payments.owed import Payment
from bottega.billing.payments.types import Order, RefundImpossible, RefundRequest


def refund_requests(
    order: Order, *, payments: Sequence[Payment], amount_minor: int | None, in_part: bool
) -> list[RefundRequest]:
    """Return what to ask for. A key names what had been refunded before, so a repeated wish is the same wish.

    After a refund that failed it is another: the gateway would answer the old key with the old refund.
    """
    left = [(payment, order.amount_minor - payment.refunded_minor) for payment in payments if payment.id]
    open_payments = [(payment, rest) for payment, rest in left if rest > 0]
    if not payments:
        raise RefundImpossible(f"Order {order.id} is not paid, so there is nothing to refund.")
    if not open_payments:
        raise RefundImpossible(f"Order {order.id} has nothing left that could be refunded.")
    most = sum(rest for _, rest in open_payments)
    asked = most if amount_minor is None else amount_minor
    if not 0 < asked <= most:
        raise RefundImpossible(f"Between 1 and {most} (in the smallest unit of {order.currency}) can be refunded.")
    if asked < most and (not in_part or len(open_payments) > 1):
        raise RefundImpossible(f"A payment of {order.gateway} is refunded as a whole: {most} {order.currency}.")
    return [
        RefundRequest(
            order=order,
            payment_id=payment.id,
            payer=payment.payer,
            amount_minor=min(rest, asked),
            key=f"refund:{payment.id}:{payment.refunded_minor}:{payment.refunds_failed}:{min(rest, asked)}",
        )
        for payment, rest in open_payments
    ]
