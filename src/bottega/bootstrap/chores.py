"""What is done again and again by whoever is there all day, and which messages this installation sends outside."""

from bottega.access.housekeeping import Housekeeping
from bottega.billing.auditor import Auditor
from bottega.bootstrap.app import App, Chore
from bottega.config import Settings
from bottega.core.clock import Clock
from bottega.db.transaction import Database
from bottega.orchestration.commands.deeds import DeedsKept
from bottega.orchestration.post.alerts import TARGET, MoneyWatch
from bottega.orchestration.post.outbox import Postman, Sender
from bottega.orchestration.post.webhook import AlertWebhook


def chores_of(app: App, *, clock: Clock) -> tuple[Chore, ...]:
    """Return what a process that is there all day does besides driving runs."""
    deeds, housekeeping = DeedsKept(database=app.database), Housekeeping(database=app.database)
    return (
        Chore(name="lost calls", every_seconds=60, work=app.reconciler.run),
        Chore(name="lost webhooks", every_seconds=3600, work=app.payments.reconcile),
        Chore(name="expired relay tokens", every_seconds=3600, work=app.relay_tokens.forget_expired),
        Chore(name="old idempotency keys", every_seconds=3600, work=deeds.forget_old),
        Chore(name="deleted projects", every_seconds=3600, work=app.deletion.finish),
        Chore(name="old sign-ins", every_seconds=3600, work=housekeeping.forget_old),
        *_message_chores(app.settings, database=app.database, clock=clock),
    )


def _message_chores(settings: Settings, *, database: Database, clock: Clock) -> tuple[Chore, ...]:
    """Return what sends messages, and what looks for reasons to. What has no sender is kept."""
    postman = Postman(database=database, senders=_senders(settings, clock=clock), clock=clock)
    watch = MoneyWatch(database=database, auditor=Auditor(database=database))
    return (
        Chore(name="messages", every_seconds=5, work=postman.work),  # ends only when it fails
        Chore(name="old messages", every_seconds=86_400, work=postman.tidy),
        Chore(name="ledger audit", every_seconds=3600, work=watch.look),
    )


def _senders(settings: Settings, *, clock: Clock) -> dict[str, Sender]:
    url = settings.alerts.alert_webhook_url
    return {} if url is None else {TARGET: AlertWebhook(url=url.get_secret_value(), clock=clock)}
