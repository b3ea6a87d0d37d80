from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.billing.ledger_bench import Bench, open_bench
from tests.billing.ledger_machine import machine_on

ROUTINE = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=tuple(HealthCheck),
)


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with open_bench(database_url) as bench:
        yield bench


def test_the_ledger_keeps_its_promises_whatever_happens(bench: Bench) -> None:
    """Every guard it leans on is taken away in turn by `test_ledger_mutations.MUTATIONS`, and is missed."""
    run_state_machine_as_test(machine_on(bench), settings=ROUTINE)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_ledger_keeps_its_promises_for_a_thousand_histories(bench: Bench) -> None:
    run_state_machine_as_test(machine_on(bench), settings=settings(ROUTINE, max_examples=1000))
