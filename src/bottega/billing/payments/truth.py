"""M9 in SQL: what every payment should have given, worked out anew from its facts, against what the ledger says.

The same function as `owed.py`, written a second time on purpose: the audit must not share its mistakes.
"""

from sqlalchemy import text

# `div` is the exact whole quotient, so nothing is rounded before the floor.
EVERY_PAYMENT_IS_WHAT_ITS_FACTS_SAY = text("""
WITH accepted AS (
    SELECT orders.id AS order_id, orders.user_id, orders.gateway, orders.credits, orders.amount_minor, orders.currency,
           paid.object_id AS payment, paid.payment_id
    FROM payment_orders AS orders JOIN payment_facts AS paid
      ON paid.order_id = orders.id AND paid.gateway = orders.gateway AND paid.kind = 'paid'
    WHERE paid.amount_minor = orders.amount_minor AND paid.currency = orders.currency
      AND paid.livemode = orders.livemode AND paid.payer = orders.payer
      AND COALESCE(paid.package, orders.package) = orders.package
), totals AS (
    SELECT accepted.*, LEAST(amount_minor, GREATEST(
               COALESCE((SELECT sum(fact.amount_minor) FROM payment_facts AS fact
                         WHERE fact.gateway = accepted.gateway AND fact.payment_id = accepted.payment_id
                           AND fact.currency = accepted.currency AND fact.kind = 'refund' AND fact.rank < 2), 0),
               COALESCE((SELECT sum(CASE fact.kind WHEN 'refunded' THEN fact.amount_minor ELSE -fact.amount_minor END)
                         FROM payment_facts AS fact
                         WHERE fact.gateway = accepted.gateway AND fact.payment_id = accepted.payment_id
                           AND fact.currency = accepted.currency
                           AND (fact.kind = 'refunded' OR fact.kind = 'refund' AND fact.rank = 2)), 0))) AS refunded,
           EXISTS (SELECT FROM payment_facts AS fact
                   WHERE fact.gateway = accepted.gateway AND fact.payment_id = accepted.payment_id
                     AND fact.kind = 'dispute' AND fact.rank = 1) AS disputed
    FROM accepted
), taken AS (
    SELECT totals.*, CASE WHEN refunded >= amount_minor THEN credits
                          ELSE div(credits * 100000000 * refunded, amount_minor) / 100000000 END AS taken
    FROM totals
), owed AS (
    SELECT order_id, user_id, payment, 'purchase' AS component, credits FROM taken
    UNION ALL SELECT order_id, user_id, payment, 'refund', -taken FROM taken
    UNION ALL SELECT order_id, user_id, payment, 'dispute', taken - credits FROM taken WHERE disputed
), given AS (
    SELECT order_id, user_id, payment, component, sum(credits_amount) AS credits
    FROM payment_postings JOIN credit_transactions ON credit_transactions.id = credit_transaction_id
    GROUP BY order_id, user_id, payment, component
)
SELECT 'M9' AS truth, user_id, component || ' of order ' || order_id || ' by payment ' || payment AS subject,
       trim_scale(COALESCE(owed.credits, 0)) AS expected, trim_scale(COALESCE(given.credits, 0)) AS actual
FROM owed FULL JOIN given USING (order_id, user_id, payment, component)
WHERE COALESCE(owed.credits, 0) <> COALESCE(given.credits, 0)
ORDER BY subject
""")

EVERY_ROW_OF_A_PAYMENT_IS_TIED_TO_IT = text("""
SELECT 'M9' AS truth, user_id, 'transaction ' || idempotency_key AS subject, 'a payment' AS expected, 'none' AS actual
FROM credit_transactions
WHERE idempotency_key LIKE 'payment:%'
  AND NOT EXISTS (SELECT FROM payment_postings WHERE credit_transaction_id = credit_transactions.id)
ORDER BY subject
""")
