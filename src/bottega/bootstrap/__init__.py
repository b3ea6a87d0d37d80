"""The composition root: Settings in, a running App out. Every concrete class is chosen in this folder, nowhere else."""

from bottega.bootstrap.access import codes_of, open_access, open_token_keys
from bottega.bootstrap.app import PACE, App, Chore, Listeners, Pace
from bottega.bootstrap.chores import chores_of
from bottega.bootstrap.driving import bells_for_workers, due_runs
from bottega.bootstrap.home import HomeUnusable, database_url
from bottega.bootstrap.observing import TracingUnavailable, serving_metrics
from bottega.bootstrap.providers import RefinerUnavailable, choose_refiner, open_gateway, open_price_sync
from bottega.bootstrap.wiring import open_app

__all__ = [
    "PACE",
    "App",
    "Chore",
    "HomeUnusable",
    "Listeners",
    "Pace",
    "RefinerUnavailable",
    "TracingUnavailable",
    "bells_for_workers",
    "choose_refiner",
    "chores_of",
    "codes_of",
    "database_url",
    "due_runs",
    "open_access",
    "open_app",
    "open_gateway",
    "open_price_sync",
    "open_token_keys",
    "serving_metrics",
]
