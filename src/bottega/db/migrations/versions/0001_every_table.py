"""Every table, and the rows that never change.

The ledger, the journal and the log of what admins did only grow. A price may only be taken out of use, because past charges must stay computable.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RULES = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% rows never change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER rows_never_change BEFORE UPDATE OR DELETE ON credit_transactions
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER rows_never_vanish BEFORE TRUNCATE ON credit_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER rows_never_change BEFORE UPDATE ON steps
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE FUNCTION refuse_repricing() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.is_active AND NOT NEW.is_active
            AND to_jsonb(NEW) - 'is_active' = to_jsonb(OLD) - 'is_active' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a price may only be taken out of use: add a row instead' USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER rows_only_retire BEFORE UPDATE ON model_pricing
    FOR EACH ROW EXECUTE FUNCTION refuse_repricing()
    """,
    """
    CREATE TRIGGER rows_never_vanish BEFORE DELETE OR TRUNCATE ON model_pricing
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER rows_never_change BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER rows_never_vanish BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    op.create_table(
        "model_pricing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_provider", sa.String(length=100), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("input_cost_per_million_tokens", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("output_cost_per_million_tokens", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("cached_input_cost_per_million_tokens", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("cache_write_cost_per_million_tokens", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("reasoning_cost_per_million_tokens", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("cost_per_request", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("image_input_cost_per_image", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("image_output_cost_per_image", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column(
            "tiers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("currency", sa.String(length=10), server_default="USD", nullable=False),
        sa.Column("is_free", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("source", sa.String(length=50), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_pricing")),
    )
    op.create_index(
        "uq_model_pricing_active",
        "model_pricing",
        ["model_provider", "model_name"],
        unique=True,
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=50), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("stream", sa.String(length=200), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("wake_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_fault", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.CheckConstraint("done_at IS NULL OR refused_at IS NULL", name=op.f("ck_inbox_one_end")),
        sa.CheckConstraint("(refused_at IS NULL) = (refusal IS NULL)", name=op.f("ck_inbox_refused_for_a_reason")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_inbox_source_external_id")),
    )
    op.create_index(
        "ix_inbox_open",
        "inbox",
        ["source", "stream", "id"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL AND refused_at IS NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.String(length=50), nullable=False),
        sa.Column("recipient", sa.String(length=200), server_default="", nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("dedupe_key", sa.String(length=300), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("wake_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_fault", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.CheckConstraint("sent_at IS NULL OR refused_at IS NULL", name=op.f("ck_outbox_one_end")),
        sa.CheckConstraint("(refused_at IS NULL) = (refusal IS NULL)", name=op.f("ck_outbox_refused_for_a_reason")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_outbox_dedupe_key")),
    )
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["target", "recipient", "id"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL AND refused_at IS NULL"),
    )
    op.create_table(
        "processed_webhook_events",
        sa.Column("gateway", sa.String(length=20), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "event_id", name=op.f("pk_processed_webhook_events")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("telegram_user_id", sa.BigInteger(), nullable=True),
        sa.Column("username", sa.String(length=255), nullable=True),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("credit_balance", sa.Numeric(precision=20, scale=8), server_default=sa.text("0"), nullable=False),
        sa.Column("credit_held", sa.Numeric(precision=20, scale=8), server_default=sa.text("0"), nullable=False),
        sa.Column("credit_last_charge", sa.Numeric(precision=20, scale=8), server_default=sa.text("0"), nullable=False),
        sa.Column("role", sa.String(length=20), server_default="person", nullable=False),
        sa.Column("status", sa.String(length=20), server_default="active", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("credit_held >= 0", name=op.f("ck_users_held_not_negative")),
        sa.CheckConstraint(
            "telegram_user_id IS NOT NULL OR username IS NOT NULL OR email IS NOT NULL",
            name=op.f("ck_users_has_identity"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("telegram_user_id", name=op.f("uq_users_telegram_user_id")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "used_telegram_data",
        sa.Column("data_sha256", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("data_sha256", name=op.f("pk_used_telegram_data")),
    )
    op.create_index(op.f("ix_used_telegram_data_expires_at"), "used_telegram_data", ["expires_at"], unique=False)
    op.create_table(
        "wrong_codes",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("address_mac", sa.String(length=64), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wrong_codes")),
    )
    op.create_index(
        op.f("ix_wrong_codes_address_mac_tried_at"), "wrong_codes", ["address_mac", "tried_at"], unique=False
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("actor_user_id", sa.Integer(), nullable=True),
        sa.Column("actor_token_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject_user_id", sa.Integer(), nullable=True),
        sa.Column("subject", sa.String(length=300), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("request_id", sa.String(length=100), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["actor_user_id"], ["users.id"], name=op.f("fk_audit_log_actor_user_id_users")),
        sa.ForeignKeyConstraint(["subject_user_id"], ["users.id"], name=op.f("fk_audit_log_subject_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_subject_user_id_id"), "audit_log", ["subject_user_id", "id"], unique=False)
    op.create_table(
        "personal_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "scopes", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_personal_tokens_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_personal_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_personal_tokens_token_sha256")),
    )
    op.create_index(
        op.f("ix_personal_tokens_user_id_created_at"), "personal_tokens", ["user_id", "created_at"], unique=False
    )
    op.create_table(
        "sign_in_codes",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("code_mac", sa.String(length=64), nullable=False),
        sa.Column("wrong_tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sign_in_codes_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_sign_in_codes")),
    )
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_why", sa.String(length=20), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_why IS NULL)", name=op.f("ck_sign_ins_ended_for_a_reason")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sign_ins_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_ins")),
    )
    op.create_index(
        op.f("ix_sign_ins_user_id"), "sign_ins", ["user_id"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("sign_in_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("successor_sha256", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(spent_at IS NULL) = (successor_sha256 IS NULL)", name=op.f("ck_refresh_tokens_spent_for_a_successor")
        ),
        sa.ForeignKeyConstraint(
            ["sign_in_id"], ["sign_ins.id"], name=op.f("fk_refresh_tokens_sign_in_id_sign_ins"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(op.f("ix_refresh_tokens_sign_in_id"), "refresh_tokens", ["sign_in_id"], unique=False)
    op.create_index(
        "uq_refresh_tokens_unspent",
        "refresh_tokens",
        ["sign_in_id"],
        unique=True,
        postgresql_where=sa.text("spent_at IS NULL"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("provider", sa.String(length=100), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=True),
        sa.Column("quota_group", sa.String(length=100), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("cooldown_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "removed_at IS NULL OR (NOT is_active AND length(ciphertext) = 0)",
            name=op.f("ck_api_keys_removed_is_erased"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint(
            "user_id",
            "provider",
            "fingerprint",
            name=op.f("uq_api_keys_user_id_provider_fingerprint"),
        ),
    )
    op.create_index(
        "uq_api_keys_pool",
        "api_keys",
        ["provider", "fingerprint"],
        unique=True,
        postgresql_where=sa.text("user_id IS NULL"),
    )
    op.create_table(
        "payment_orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("gateway", sa.String(length=20), nullable=False),
        sa.Column("package", sa.String(length=50), nullable=False),
        sa.Column("credits", sa.Numeric(precision=20, scale=8), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=10), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("payer", sa.String(length=255), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=20), server_default="created", nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("refunded_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("credits > 0 AND amount_minor > 0", name=op.f("ck_payment_orders_positive")),
        sa.CheckConstraint(
            "state IN ('created', 'pending', 'paid', 'partially_refunded', 'refunded', 'disputed', 'failed',"
            " 'expired', 'mismatched')",
            name=op.f("ck_payment_orders_state"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payment_orders_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_orders")),
    )
    op.create_index(
        op.f("ix_payment_orders_user_id_created_at"), "payment_orders", ["user_id", "created_at"], unique=False
    )
    op.create_table(
        "payment_facts",
        sa.Column("gateway", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("rank", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=10), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=True),
        sa.Column("payer", sa.String(length=255), nullable=True),
        sa.Column("package", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('submitted', 'paid', 'failed', 'expired', 'refunded', 'refund', 'dispute')",
            name=op.f("ck_payment_facts_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["payment_orders.id"], name=op.f("fk_payment_facts_order_id_payment_orders")
        ),
        sa.PrimaryKeyConstraint("gateway", "kind", "object_id", name=op.f("pk_payment_facts")),
    )
    op.create_index(
        op.f("ix_payment_facts_gateway_payment_id"), "payment_facts", ["gateway", "payment_id"], unique=False
    )
    op.create_index(op.f("ix_payment_facts_order_id"), "payment_facts", ["order_id"], unique=False)
    op.create_table(
        "projects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=500), server_default="Untitled Project", nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("tech_stack", sa.JSON(), nullable=True),
        sa.Column("documentation", sa.Text(), nullable=True),
        sa.Column("current_todo_markdown", sa.Text(), nullable=True),
        sa.Column("codebase_index_status", sa.String(length=20), server_default="empty", nullable=False),
        sa.Column("index_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("event_sequence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("head_sha", sa.String(length=40), nullable=True),
        sa.Column("quote_low_credits", sa.Numeric(precision=20, scale=8), nullable=True),
        sa.Column("estimated_credit_cost", sa.Numeric(precision=20, scale=8), nullable=True),
        sa.Column("actual_credit_cost", sa.Numeric(precision=20, scale=8), server_default=sa.text("0"), nullable=False),
        sa.Column("credit_limit", sa.Numeric(precision=20, scale=8), nullable=True),
        sa.Column("archive_key", sa.String(length=300), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_projects_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
    )
    op.create_index(op.f("ix_projects_user_id"), "projects", ["user_id"], unique=False)
    op.create_table(
        "code_chunks",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("file_path", sa.String(length=1000), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("language", sa.String(length=30), nullable=False),
        sa.Column("chunks", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("index_version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_code_chunks_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "file_path", name=op.f("pk_code_chunks")),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_conversations_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_conversations_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_index(op.f("ix_conversations_project_id_id"), "conversations", ["project_id", "id"], unique=False)
    op.create_table(
        "credit_holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=300), nullable=False),
        sa.Column("credits_amount", sa.Numeric(precision=20, scale=8), nullable=False),
        sa.Column("state", sa.String(length=20), server_default="open", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('open', 'settled', 'voided', 'expired')", name=op.f("ck_credit_holds_state")),
        sa.CheckConstraint("credits_amount >= 0", name=op.f("ck_credit_holds_not_negative")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_credit_holds_project_id_projects")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_credit_holds_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_holds")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_credit_holds_idempotency_key")),
    )
    op.create_index(
        "ix_credit_holds_open",
        "credit_holds",
        ["user_id", "expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "project_files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("file_path", sa.String(length=1000), nullable=False),
        sa.Column("file_type", sa.String(length=100), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_files_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_files")),
        sa.UniqueConstraint("project_id", "file_path", name=op.f("uq_project_files_project_id_file_path")),
    )
    op.create_table(
        "questions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column(
            "options", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("recommended", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_questions_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
        sa.UniqueConstraint("project_id", "ordinal", name=op.f("uq_questions_project_id_ordinal")),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), server_default="build", nullable=False),
        sa.Column("phase", sa.String(length=20), server_default="gather", nullable=False),
        sa.Column("state", sa.String(length=20), server_default="ready", nullable=False),
        sa.Column("step_no", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("wake_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lane", sa.String(length=20), server_default="steps", nullable=False),
        sa.Column("rung_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.String(length=200), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "claims", sa.Numeric(precision=7, scale=1, asdecimal=False), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("allowance_from", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("working_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("credits_needed", sa.Numeric(precision=20, scale=8), nullable=True),
        sa.Column("desired", sa.String(length=20), server_default="run", nullable=False),
        sa.Column("stop_code", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("desired IN ('run', 'pause', 'cancel')", name=op.f("ck_runs_desired")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_runs_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_runs_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_project_id_created_at"), "runs", ["project_id", "created_at"], unique=False)
    op.create_index("ix_runs_due", "runs", ["wake_at"], unique=False, postgresql_where=sa.text("state = 'ready'"))
    op.create_index(
        "ix_runs_leased", "runs", ["user_id"], unique=False, postgresql_where=sa.text("lease_owner IS NOT NULL")
    )
    op.create_index(
        "uq_runs_one_live", "runs", ["project_id"], unique=True, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=20), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column(
            "files", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "depends_on", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "commands", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "criteria", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("size", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=20), server_default="todo", nullable=False),
        sa.Column("stage", sa.String(length=20), server_default="implement", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rung", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rung_failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("feedback", sa.Text(), nullable=True),
        sa.Column("proposal_step", sa.Integer(), nullable=True),
        sa.Column("proposal_tree_hash", sa.String(length=40), nullable=True),
        sa.Column("evidence_tree_hash", sa.String(length=40), nullable=True),
        sa.Column("commit_sha", sa.String(length=40), nullable=True),
        sa.Column("credits_charged", sa.Numeric(precision=20, scale=8), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status <> 'done' OR (evidence_tree_hash IS NOT NULL AND commit_sha IS NOT NULL)",
            name=op.f("ck_tasks_done_has_evidence"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_tasks_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("project_id", "key", name=op.f("uq_tasks_project_id_key")),
        sa.UniqueConstraint("project_id", "ordinal", name=op.f("uq_tasks_project_id_ordinal")),
    )
    op.create_table(
        "relay_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("task_key", sa.String(length=20), nullable=True),
        sa.Column("purpose", sa.String(length=100), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_relay_tokens_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_relay_tokens_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_relay_tokens_token_sha256")),
    )
    op.create_index(op.f("ix_relay_tokens_user_id"), "relay_tokens", ["user_id"], unique=False)
    op.create_table(
        "api_key_usage",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("call_key", sa.String(length=300), nullable=False),
        sa.Column("operation_key", sa.String(length=300), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("task_key", sa.String(length=20), nullable=True),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("own_key", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("api_key_identifier", sa.String(length=100), nullable=True),
        sa.Column("model_provider", sa.String(length=100), nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("task_type", sa.String(length=100), nullable=False),
        sa.Column("input_tokens_used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cached_tokens_used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cache_write_tokens_used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("output_tokens_used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reasoning_tokens_used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("images_processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("input_tokens_estimated", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("actual_cost_usd", sa.Numeric(precision=20, scale=10), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_source", sa.String(length=20), nullable=True),
        sa.Column("cost_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cost_asked", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("markup_factor", sa.Numeric(precision=20, scale=8), nullable=False),
        sa.Column("credit_value_usd", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("credits_charged", sa.Numeric(precision=20, scale=8), server_default=sa.text("0"), nullable=False),
        sa.Column("credits_unbilled", sa.Numeric(precision=20, scale=8), server_default=sa.text("0"), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("pricing_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), server_default="started", nullable=False),
        sa.Column("error_code", sa.String(length=50), nullable=True),
        sa.Column("provider_request_id", sa.String(length=200), nullable=True),
        sa.Column("response_time_ms", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('started', 'settled', 'orphan', 'fenced', 'failed')", name=op.f("ck_api_key_usage_status")
        ),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_api_key_usage_api_key_id_api_keys")),
        sa.ForeignKeyConstraint(["hold_id"], ["credit_holds.id"], name=op.f("fk_api_key_usage_hold_id_credit_holds")),
        sa.ForeignKeyConstraint(
            ["pricing_id"], ["model_pricing.id"], name=op.f("fk_api_key_usage_pricing_id_model_pricing")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_api_key_usage_project_id_projects")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_key_usage_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key_usage")),
        sa.UniqueConstraint("call_key", name=op.f("uq_api_key_usage_call_key")),
        sa.UniqueConstraint("hold_id", name=op.f("uq_api_key_usage_hold_id")),
    )
    op.create_index(
        "ix_api_key_usage_cost_due",
        "api_key_usage",
        ["cost_due_at"],
        unique=False,
        postgresql_where=sa.text("cost_due_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_api_key_usage_operation_key"), "api_key_usage", ["operation_key"], unique=False)
    op.create_index(op.f("ix_api_key_usage_project_id"), "api_key_usage", ["project_id"], unique=False)
    op.create_index(
        "ix_api_key_usage_started",
        "api_key_usage",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'started'"),
    )
    op.create_index(op.f("ix_api_key_usage_user_id"), "api_key_usage", ["user_id"], unique=False)
    op.create_table(
        "evidence",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("step_no", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("task_key", sa.String(length=20), nullable=True),
        sa.Column("tree_hash", sa.String(length=40), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("executed", sa.Boolean(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("output_sha256", sa.String(length=64), nullable=False),
        sa.Column("tests_run", sa.Integer(), nullable=True),
        sa.Column("tests_skipped", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("isolation", sa.String(length=30), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("executed OR NOT passed", name=op.f("ck_evidence_passed_was_executed")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_evidence_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_evidence_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
        sa.UniqueConstraint("run_id", "step_no", "ordinal", name=op.f("uq_evidence_run_id_step_no_ordinal")),
    )
    op.create_index(op.f("ix_evidence_project_id_tree_hash"), "evidence", ["project_id", "tree_hash"], unique=False)
    op.create_table(
        "run_events",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_run_events_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_events_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_events")),
        sa.UniqueConstraint("project_id", "sequence", name=op.f("uq_run_events_project_id_sequence")),
    )
    op.create_table(
        "work_under_way",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("after_sequence", sa.Integer(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_work_under_way_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_work_under_way")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "steps",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("step_no", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("task_key", sa.String(length=20), nullable=True),
        sa.Column("outcome", sa.String(length=30), nullable=False),
        sa.Column("output", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("credits_charged", sa.Numeric(precision=20, scale=8), server_default=sa.text("0"), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_steps_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "step_no", name=op.f("pk_steps")),
    )
    op.create_table(
        "credit_transactions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("api_key_usage_id", sa.BigInteger(), nullable=True),
        sa.Column("transaction_type", sa.String(length=50), nullable=False),
        sa.Column("credits_amount", sa.Numeric(precision=20, scale=8), nullable=False),
        sa.Column("balance_after", sa.Numeric(precision=20, scale=8), nullable=False),
        sa.Column("idempotency_key", sa.String(length=300), nullable=False),
        sa.Column("reverses_id", sa.BigInteger(), nullable=True),
        sa.Column("real_cost_associated_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("external_transaction_id", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "transaction_type IN ("
            "'initial_grant', 'purchase', 'usage_deduction', 'refund_clawback', 'dispute_clawback',"
            " 'dispute_reinstated', 'adjustment', 'expiry')",
            name=op.f("ck_credit_transactions_transaction_type"),
        ),
        sa.ForeignKeyConstraint(
            ["api_key_usage_id"],
            ["api_key_usage.id"],
            name=op.f("fk_credit_transactions_api_key_usage_id_api_key_usage"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_credit_transactions_project_id_projects")
        ),
        sa.ForeignKeyConstraint(
            ["reverses_id"],
            ["credit_transactions.id"],
            name=op.f("fk_credit_transactions_reverses_id_credit_transactions"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_credit_transactions_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_transactions")),
        sa.UniqueConstraint("api_key_usage_id", name=op.f("uq_credit_transactions_api_key_usage_id")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_credit_transactions_idempotency_key")),
    )
    op.create_index(
        "ix_credit_transactions_given",
        "credit_transactions",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("transaction_type = 'initial_grant'"),
    )
    op.create_index(op.f("ix_credit_transactions_user_id_id"), "credit_transactions", ["user_id", "id"], unique=False)
    op.create_table(
        "payment_postings",
        sa.Column("credit_transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("payment", sa.String(length=255), nullable=False),
        sa.Column("component", sa.String(length=20), nullable=False),
        sa.CheckConstraint(
            "component IN ('purchase', 'refund', 'dispute')", name=op.f("ck_payment_postings_component")
        ),
        sa.ForeignKeyConstraint(
            ["credit_transaction_id"],
            ["credit_transactions.id"],
            name=op.f("fk_payment_postings_credit_transaction_id_credit_transactions"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["payment_orders.id"], name=op.f("fk_payment_postings_order_id_payment_orders")
        ),
        sa.PrimaryKeyConstraint("credit_transaction_id", name=op.f("pk_payment_postings")),
    )
    op.create_index(op.f("ix_payment_postings_order_id"), "payment_postings", ["order_id"], unique=False)
    op.create_table(
        "deeds",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column(
            "projects", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_deeds_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", "idempotency_key", name=op.f("pk_deeds")),
    )
    op.create_index(op.f("ix_deeds_created_at"), "deeds", ["created_at"], unique=False)
    op.create_table(
        "chats",
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("chosen_language", sa.String(length=35), nullable=True),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("expects", sa.String(length=30), nullable=True),
        sa.Column("about_id", sa.Uuid(), nullable=True),
        sa.Column("draft", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_chats_project_id_projects"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_chats_user_id_users")),
        sa.PrimaryKeyConstraint("chat_id", "user_id", name=op.f("pk_chats")),
    )
    op.create_table(
        "chat_projects",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("told", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("status_message_id", sa.BigInteger(), nullable=True),
        sa.Column("shown", sa.String(length=64), nullable=True),
        sa.Column("show_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_shut", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_chat_projects_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_chat_projects_user_id_users")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_chat_projects")),
    )
    op.create_index(op.f("ix_chat_projects_chat_id"), "chat_projects", ["chat_id"], unique=False)
    for statement in RULES:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("There is nothing before the first revision: drop the database instead.")
