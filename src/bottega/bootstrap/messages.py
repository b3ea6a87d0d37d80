"""Which messages this installation sends to the outside, and the chores that send them."""

from bottega.billing.auditor import Auditor
from bottega.bootstrap.app import Chore
from bottega.config import Settings
from bottega.core.clock import Clock
from bottega.db.transaction import Database
from bottega.orchestration.alerts import TARGET, MoneyWatch
from bottega.orchestration.outbox import Postman, Sender
from bottega.orchestration.webhook import AlertWebhook


def message_chores(settings: Settings, *, database: Database, clock: Clock) -> tuple[Chore, ...]:
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
