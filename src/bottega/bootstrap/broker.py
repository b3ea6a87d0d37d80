"""Celery over Redis, as a carrier of doorbells: a message names a run, may be lost, and nothing is ever read back.

Everything that could make a message more than that is off: results, late acknowledgement, retries, countdowns, events.
A broker that is away costs a publisher nothing: rings wait for it in a small queue of their own, and are dropped.
"""

import queue
import threading
import uuid

import structlog
from celery import Celery
from kombu.exceptions import KombuError

from bottega.orchestration.doorbell import Lane

ADVANCE = "bottega.advance"
_UNSENT = 1000

log = structlog.get_logger()


def open_broker(url: str) -> Celery:
    """Return Celery's side of the server at `url` (redis:// or rediss://); nothing is connected yet."""
    celery = Celery("bottega", broker=url, set_as_current=False)
    celery.conf.update(
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_default_queue=Lane.STEPS,
        task_create_missing_queues=True,
        task_publish_retry=False,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        timezone="UTC",
        enable_utc=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the lease decides, not the broker
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=2,
        visibility_timeout=900,
        broker_transport_options={
            "visibility_timeout": 900,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "global_keyprefix": "bottega:",
        },
    )
    return celery


class CeleryDoorbell:
    """Sends a message for each ring, from a thread of its own: the broker's slowness is nobody's."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._unsent: queue.Queue[tuple[uuid.UUID, Lane] | None] = queue.Queue(_UNSENT)
        self._is_reachable = True
        self._thread = threading.Thread(target=self._send_all, name="doorbell", daemon=True)
        self._thread.start()

    def ring(self, run_id: uuid.UUID, *, lane: Lane) -> None:
        try:
            self._unsent.put_nowait((run_id, lane))
        except queue.Full:
            log.warning("doorbell.dropped", run_id=str(run_id))

    def close(self, *, within_seconds: float = 5.0) -> None:
        """Send what is unsent, if the broker takes it in time."""
        try:
            self._unsent.put(None, timeout=within_seconds)
        except queue.Full:
            return
        self._thread.join(within_seconds)
        if not self._thread.is_alive():
            self._celery.close()

    def _send_all(self) -> None:
        while (ring := self._unsent.get()) is not None:
            run_id, lane = ring
            try:
                self._celery.send_task(ADVANCE, args=[str(run_id)], queue=lane, ignore_result=True)
            except (KombuError, OSError) as error:
                if self._is_reachable:
                    log.warning("doorbell.unreachable", reason=str(error))
                self._is_reachable = False
            else:
                self._is_reachable = True
