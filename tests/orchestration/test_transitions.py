"""The repair loop and the ladder of models."""

from hypothesis import given
from hypothesis import strategies as st

from bottega.orchestration.state import TaskStage, TaskView
from bottega.orchestration.transitions import FAILURES_PER_RUNG, approved, checked, failed, proposed, retried

NEW = TaskView(key="T1")


def test_a_proposal_is_one_attempt_and_goes_to_its_checks() -> None:
    task = proposed(NEW)
    assert (task.stage, task.attempts) == (TaskStage.CHECK, 1)


def test_a_task_passes_through_every_gate_before_its_commit() -> None:
    stages = [task.stage for task in (proposed(NEW), checked(proposed(NEW)), approved(checked(proposed(NEW))))]
    assert stages == [TaskStage.CHECK, TaskStage.VERIFY, TaskStage.COMMIT]


def test_the_first_failure_stays_on_its_rung() -> None:
    after = failed(proposed(NEW), rungs=3)
    assert (after.task.rung, after.task.stage) == (0, TaskStage.IMPLEMENT)
    assert not after.escalated
    assert not after.stuck


def test_the_second_failure_hands_over_to_the_next_model() -> None:
    once = failed(NEW, rungs=3).task
    after = failed(once, rungs=3)
    assert (after.task.rung, after.task.rung_failures, after.escalated) == (1, 0, True)


def test_the_last_rung_ends_stuck_and_never_accepted() -> None:
    task = NEW
    for _ in range(FAILURES_PER_RUNG * 3 - 1):
        task = failed(task, rungs=3).task
    assert failed(task, rungs=3).stuck


def test_a_stuck_task_gets_another_round_at_the_strongest_model() -> None:
    task = retried(TaskView(key="T1", rung=0, rung_failures=2), rungs=3)
    assert (task.rung, task.rung_failures, task.stage) == (2, 0, TaskStage.IMPLEMENT)


@given(rungs=st.integers(1, 5))
def test_every_task_is_stuck_after_two_failures_of_each_rung(rungs: int) -> None:
    task, count = NEW, 0
    while True:
        count += 1
        after = failed(task, rungs=rungs)
        assert after.task.stage is TaskStage.IMPLEMENT
        if after.stuck:
            break
        task = after.task
    assert count == FAILURES_PER_RUNG * rungs
