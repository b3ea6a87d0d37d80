"""The ledger's statements, each one round trip.

Locks are taken in one order everywhere: hold and call, then person, then the rest. Where a row is read `FOR UPDATE`
inside a CTE it is read as the last writer left it, so amounts computed from it are right under any interleaving.
A person's row is taken by one UPDATE a statement and read only as that UPDATE returns it: a statement that locks the
newest version of a row and then updates it begins again at the version it saw first, and waits there for whoever waits
for it. What was charged is therefore left in the row, `credit_last_charge`, for RETURNING to read.
A person is locked without the key (`NO KEY`): whoever updates a row that refers to them twice checks that they exist,
and would wait for us while we wait for that row.
"""

from sqlalchemy import text

LOCK_PERSON = text("SELECT id FROM users WHERE id = :user_id FOR NO KEY UPDATE")

FIND_ENTRY = text("""
SELECT id, user_id, credits_amount, balance_after FROM credit_transactions WHERE idempotency_key = :idempotency_key
""")

GRANT = text("""
WITH person AS (
    UPDATE users SET credit_balance = credit_balance + CAST(:credits AS numeric), updated_at = now()
    WHERE id = :user_id
    RETURNING id, credit_balance
)
INSERT INTO credit_transactions (
    user_id, project_id, transaction_type, credits_amount, balance_after, idempotency_key,
    reverses_id, external_transaction_id, description
)
SELECT id, :project_id, :transaction_type, CAST(:credits AS numeric), credit_balance, :idempotency_key,
       :reverses_id, :external_transaction_id, :description
FROM person
RETURNING id, credits_amount, balance_after
""")

# No row comes back when anything forbids the call; WHY_REFUSED then says what.
HOLD = text("""
WITH price AS (
    SELECT id, model_provider, model_name FROM model_pricing WHERE id = :pricing_id AND is_active
), project AS (
    SELECT id, credit_limit FROM projects
    WHERE id = CAST(:project_id AS uuid) AND user_id = :user_id
      AND (credit_limit IS NULL OR credit_limit >= CAST(:credits AS numeric) + actual_credit_cost + (
          SELECT COALESCE(sum(credits_amount), 0) FROM credit_holds
          WHERE user_id = :user_id AND project_id = projects.id AND state = 'open'))
), person AS (
    UPDATE users SET credit_held = credit_held + CAST(:credits AS numeric), updated_at = now()
    WHERE id = :user_id AND status = 'active'
      AND credit_balance - credit_held >= CAST(:credits AS numeric)
      AND EXISTS (SELECT FROM price)
      AND (CAST(:project_id AS uuid) IS NULL OR EXISTS (SELECT FROM project))
      AND NOT EXISTS (SELECT FROM credit_holds WHERE idempotency_key = :call_key)
    RETURNING id, credit_balance - credit_held AS available
), held AS (
    INSERT INTO credit_holds (id, user_id, project_id, idempotency_key, credits_amount, expires_at)
    SELECT CAST(:hold_id AS uuid), id, CAST(:project_id AS uuid), :call_key, CAST(:credits AS numeric),
           now() + make_interval(secs => :ttl_seconds)
    FROM person
    RETURNING id, user_id, project_id
), usage AS (
    INSERT INTO api_key_usage (
        call_key, operation_key, project_id, user_id, task_key, model_provider, model_name, task_type,
        markup_factor, credit_value_usd, hold_id, pricing_id, input_tokens_estimated, own_key
    )
    SELECT :call_key, :operation_key, held.project_id, held.user_id, :task_key, price.model_provider,
           price.model_name, :task_type, :markup, :credit_value_usd, held.id, price.id, :input_tokens_estimated,
           :own_key
    FROM held, price
    RETURNING id
)
SELECT usage.id AS usage_id, person.available, (SELECT credit_limit FROM project) AS credit_limit FROM usage, person
""")

_WITHIN_LIMIT = """AND (credit_limit IS NULL OR credit_limit >= CAST(:credits AS numeric) + actual_credit_cost + (
          SELECT COALESCE(sum(credits_amount), 0) FROM credit_holds
          WHERE user_id = :user_id AND project_id = projects.id AND state = 'open'))"""
# A limit wants a second look in the same transaction; without one this statement is the whole of it.
HOLD_UNLIMITED = text(HOLD.text.replace(_WITHIN_LIMIT, "AND credit_limit IS NULL"))

PROJECT_LEFT = text("""
SELECT credit_limit - actual_credit_cost - (
    SELECT COALESCE(sum(credits_amount), 0) FROM credit_holds
    WHERE user_id = :user_id AND project_id = projects.id AND state = 'open')
FROM projects WHERE id = :project_id
""")

WHY_REFUSED = text("""
SELECT users.status, users.credit_balance - users.credit_held AS available,
       EXISTS (SELECT FROM model_pricing WHERE id = :pricing_id AND is_active) AS priced,
       EXISTS (SELECT FROM credit_holds WHERE idempotency_key = :call_key) AS held_before,
       CAST(:project_id AS uuid) IS NULL OR projects.id IS NOT NULL AS theirs,
       projects.credit_limit - projects.actual_credit_cost - (
           SELECT COALESCE(sum(credits_amount), 0) FROM credit_holds
           WHERE user_id = users.id AND project_id = projects.id AND state = 'open') AS project_left
FROM users LEFT JOIN projects ON projects.id = CAST(:project_id AS uuid) AND projects.user_id = users.id
WHERE users.id = :user_id
""")

# A call whose hold expired may still be settled once: the reply came late, the work was done.
SETTLE = text("""
WITH call AS (
    SELECT api_key_usage.id, api_key_usage.user_id, api_key_usage.project_id, credit_holds.id AS hold_id,
           CASE credit_holds.state WHEN 'open' THEN credits_amount ELSE 0 END AS reserved
    FROM api_key_usage JOIN credit_holds ON credit_holds.id = hold_id
    WHERE api_key_usage.id = :usage_id
      AND (status = 'started' OR (status = 'orphan' AND credit_holds.state = 'expired'))
    FOR UPDATE OF credit_holds, api_key_usage
), released AS (
    UPDATE credit_holds SET state = 'settled', resolved_at = now()
    FROM call WHERE credit_holds.id = hold_id AND state = 'open'
), person AS (
    UPDATE users
    SET (credit_balance, credit_last_charge) = (
            SELECT credit_balance - charge, charge FROM (
                SELECT LEAST(CAST(:credits AS numeric), reserved + GREATEST(credit_balance - credit_held, 0)) AS charge
            ) AS bill
        ), credit_held = credit_held - reserved, updated_at = now()
    FROM call WHERE users.id = call.user_id
    RETURNING credit_balance, credit_last_charge AS charged
), project AS (
    UPDATE projects SET actual_credit_cost = actual_credit_cost + charged
    FROM call, person WHERE projects.id = call.project_id AND charged > 0
), entry AS (
    INSERT INTO credit_transactions (
        user_id, project_id, api_key_usage_id, transaction_type, credits_amount, balance_after, idempotency_key,
        real_cost_associated_usd
    )
    SELECT call.user_id, call.project_id, call.id, 'usage_deduction', -charged, credit_balance,
           'usage:' || call.id, :cost_usd
    FROM call, person WHERE charged > 0
), settled AS (
    UPDATE api_key_usage
    SET status = 'settled', credits_charged = charged, credits_unbilled = CAST(:credits AS numeric) - charged,
        input_tokens_used = :input_tokens, cached_tokens_used = :cached_tokens,
        cache_write_tokens_used = :cache_write_tokens, output_tokens_used = :output_tokens,
        reasoning_tokens_used = :reasoning_tokens, images_processed = :images, actual_cost_usd = :cost_usd,
        cost_source = :cost_source, api_key_identifier = :key_fingerprint,
        api_key_id = CAST(:key_id AS uuid),
        provider_request_id = COALESCE(CAST(:request_id AS text), provider_request_id),
        response_time_ms = :response_time_ms, error_code = NULL, cost_due_at = NULL
    FROM call, person WHERE api_key_usage.id = call.id
)
SELECT charged, CAST(:credits AS numeric) - charged AS unbilled FROM person
""")

# A call that somebody else gave up may still learn what it cost, when the worker that was written off comes back.
VOID = text("""
WITH call AS (
    SELECT api_key_usage.id, api_key_usage.user_id, credit_holds.id AS hold_id,
           CASE credit_holds.state WHEN 'open' THEN credits_amount ELSE 0 END AS reserved
    FROM api_key_usage JOIN credit_holds ON credit_holds.id = hold_id
    WHERE api_key_usage.id = :usage_id
      AND (status = 'started' OR (status = 'orphan' AND (credit_holds.state = 'expired' OR (
          CAST(:cost_source AS text) IS NOT NULL AND COALESCE(cost_source, 'unknown') IN ('unknown', 'estimated')))))
    FOR UPDATE OF credit_holds, api_key_usage
), released AS (
    UPDATE credit_holds SET state = 'voided', resolved_at = now()
    FROM call WHERE credit_holds.id = hold_id AND state = 'open'
), person AS (
    UPDATE users SET credit_held = credit_held - reserved, updated_at = now()
    FROM call WHERE users.id = call.user_id AND reserved > 0
)
UPDATE api_key_usage
SET status = :status, input_tokens_used = :input_tokens, cached_tokens_used = :cached_tokens,
    cache_write_tokens_used = :cache_write_tokens, output_tokens_used = :output_tokens,
    reasoning_tokens_used = :reasoning_tokens, images_processed = :images,
    actual_cost_usd = :cost_usd, cost_source = :cost_source, api_key_identifier = :key_fingerprint,
    api_key_id = CAST(:key_id AS uuid),
    provider_request_id = COALESCE(CAST(:request_id AS text), provider_request_id),
    response_time_ms = :response_time_ms, error_code = :error_code,
    cost_due_at = CASE WHEN CAST(:cost_source AS text) IS NULL AND (
        CAST(:cost_open AS boolean) OR COALESCE(CAST(:request_id AS text), provider_request_id) IS NOT NULL) THEN now()
    END
FROM call WHERE api_key_usage.id = call.id
RETURNING api_key_usage.id
""")

# Losing this to a crash of the database loses a question, no money: the commit need not wait for the disk.
IDENTIFY = text("""
UPDATE api_key_usage SET provider_request_id = :request_id
WHERE id = :usage_id AND status IN ('started', 'orphan') AND provider_request_id IS NULL
  AND set_config('synchronous_commit', 'off', true) = 'off'
""")

FIRST_RESULT = text("SELECT credits_charged, credits_unbilled FROM api_key_usage WHERE id = :usage_id")

EXPIRED = text("""
SELECT credit_holds.id, credit_holds.user_id FROM api_key_usage JOIN credit_holds ON credit_holds.id = hold_id
WHERE credit_holds.state = 'open' AND expires_at <= now() ORDER BY credit_holds.id LIMIT :limit
FOR UPDATE OF credit_holds, api_key_usage SKIP LOCKED
""")

HAS_STARTED = text("""
SELECT EXISTS (
    SELECT FROM api_key_usage JOIN credit_holds ON credit_holds.id = hold_id
    WHERE operation_key = :operation_key AND api_key_usage.status = 'started' AND credit_holds.state = 'open'
)
""")

STARTED_BEFORE = text("""
SELECT credit_holds.id, credit_holds.user_id FROM api_key_usage JOIN credit_holds ON credit_holds.id = hold_id
WHERE operation_key = :operation_key AND status = 'started' AND credit_holds.state = 'open'
ORDER BY credit_holds.id FOR UPDATE OF credit_holds, api_key_usage
""")

# Of one person: those of several wait for each other in no order.
RELEASE = text("""
WITH due AS (
    UPDATE credit_holds SET state = :state, resolved_at = now()
    WHERE id = ANY(CAST(:hold_ids AS uuid[])) AND state = 'open'
    RETURNING id, user_id, credits_amount
), calls AS (
    UPDATE api_key_usage SET status = 'orphan', error_code = :error_code, cost_due_at = now()
    FROM due WHERE hold_id = due.id AND status = 'started'
), freed AS (
    SELECT user_id, sum(credits_amount) AS credits FROM due GROUP BY user_id
), person AS (
    UPDATE users SET credit_held = credit_held - credits, updated_at = now()
    FROM freed WHERE users.id = freed.user_id
)
SELECT id FROM due
""")
