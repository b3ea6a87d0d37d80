"""The statements of payments, each one round trip."""

from sqlalchemy import text

NOTE_EVENT = text("""
INSERT INTO processed_webhook_events (gateway, event_id, type, payload_sha256, status)
VALUES (:gateway, :event_id, :type, :digest, 'ignored')
ON CONFLICT DO NOTHING RETURNING event_id
""")

EVENT_DIGEST = text("""
SELECT payload_sha256 FROM processed_webhook_events WHERE gateway = :gateway AND event_id = :event_id
""")

CONCLUDE_EVENT = text("""
UPDATE processed_webhook_events SET status = :status WHERE gateway = :gateway AND event_id = :event_id
""")

LOCK_PAYMENT = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

# Every field keeps its maximum (NULL is below all), so facts may come in any order and any number of times. An order
# of another gateway, or none, is no order.
KEEP_FACT = text("""
INSERT INTO payment_facts AS known (
    gateway, kind, object_id, payment_id, order_id, rank, amount_minor, currency, livemode, payer, package
)
VALUES (
    CAST(:gateway AS varchar), :kind, :object_id, :payment_id,
    (SELECT id FROM payment_orders WHERE id = CAST(:order_id AS uuid) AND gateway = CAST(:gateway AS varchar)),
    :rank, :amount_minor, :currency, :livemode, :payer, :package
)
ON CONFLICT (gateway, kind, object_id) DO UPDATE SET
    payment_id = GREATEST(known.payment_id, excluded.payment_id),
    order_id = GREATEST(known.order_id, excluded.order_id),
    rank = GREATEST(known.rank, excluded.rank),
    amount_minor = GREATEST(known.amount_minor, excluded.amount_minor),
    currency = GREATEST(known.currency, excluded.currency),
    livemode = GREATEST(known.livemode, excluded.livemode),
    payer = GREATEST(known.payer, excluded.payer),
    package = GREATEST(known.package, excluded.package),
    updated_at = now()
""")

ORDERS_CONCERNED = text("""
SELECT id FROM payment_orders
WHERE gateway = :gateway AND (
    id = ANY(CAST(:order_ids AS uuid[]))
    OR id IN (
        SELECT order_id FROM payment_facts
        WHERE gateway = :gateway AND kind = 'paid' AND payment_id = ANY(CAST(:payment_ids AS text[])))
)
ORDER BY id
""")

FACTS_OF_ORDER = text("""
SELECT kind, object_id, payment_id, order_id, rank, amount_minor, currency, livemode, payer, package
FROM payment_facts WHERE order_id = :order_id
UNION
SELECT fact.kind, fact.object_id, fact.payment_id, fact.order_id, fact.rank, fact.amount_minor, fact.currency,
       fact.livemode, fact.payer, fact.package
FROM payment_facts AS paid JOIN payment_facts AS fact
  ON fact.gateway = paid.gateway AND fact.payment_id = paid.payment_id
WHERE paid.order_id = :order_id AND paid.kind = 'paid'
""")

POSTED = text("""
SELECT payment, component, sum(credits_amount) AS credits, count(*) AS rows, max(credit_transactions.id) AS last_id
FROM payment_postings JOIN credit_transactions ON credit_transactions.id = credit_transaction_id
WHERE order_id = :order_id GROUP BY payment, component
""")

TIE_POSTING = text("""
INSERT INTO payment_postings (credit_transaction_id, order_id, payment, component)
VALUES (:transaction_id, :order_id, :payment, :component)
""")

# No row comes back when the order stood so before.
RENDER_ORDER = text("""
UPDATE payment_orders
SET state = now.state, problem = now.problem, refunded_minor = now.refunded_minor, updated_at = now()
FROM (SELECT CAST(:state AS varchar), CAST(:problem AS text), CAST(:refunded_minor AS bigint))
  AS now (state, problem, refunded_minor)
WHERE id = :order_id
  AND (payment_orders.state, payment_orders.problem, payment_orders.refunded_minor)
      IS DISTINCT FROM (now.state, now.problem, now.refunded_minor)
RETURNING id
""")

ADD_ORDER = text("""
INSERT INTO payment_orders (id, user_id, gateway, package, credits, amount_minor, currency, livemode, payer)
VALUES (:id, :user_id, :gateway, :package, :credits, :amount_minor, :currency, :livemode, :payer)
""")

NAME_SESSION = text("UPDATE payment_orders SET session_id = :session_id, updated_at = now() WHERE id = :order_id")

# The lock makes concurrent orders of one person count one another.
LOCK_BUYER = text("SELECT status, telegram_user_id FROM users WHERE id = :user_id FOR NO KEY UPDATE")

RECENT_UNPAID = text("""
SELECT count(*) FROM payment_orders
WHERE user_id = :user_id AND state IN ('created', 'pending') AND created_at > now() - interval '1 hour'
""")

INVOICE = text("""
SELECT payment_orders.state, package, credits, amount_minor, currency, payer, users.status
FROM payment_orders JOIN users ON users.id = user_id
WHERE payment_orders.id = :order_id AND gateway = :gateway
""")
