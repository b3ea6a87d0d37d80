import pytest

from bottega.projects.status import FINAL, INTERRUPTIONS, MOVES, WORKING, IllegalMove, ProjectStatus, move

S = ProjectStatus

THE_USUAL_WAY = (
    S.GATHERING_REQUIREMENTS,
    S.PLANNING,
    S.AWAITING_APPROVAL,
    S.IMPLEMENTING,
    S.AWAITING_VERIFICATION,
    S.AWAITING_REFINEMENT,
    S.IMPLEMENTING,
    S.AWAITING_VERIFICATION,
    S.VERIFICATION_COMPLETE,
    S.README_GENERATION,
    S.README_FAILED,
    S.README_GENERATION,
    S.COMPLETED,
)


def reachable_from(start: ProjectStatus) -> set[ProjectStatus]:
    seen, edge = {start}, [start]
    while edge:
        for there in MOVES[edge.pop()] - seen:
            seen.add(there)
            edge.append(there)
    return seen


def test_the_usual_way_is_walkable() -> None:
    status = THE_USUAL_WAY[0]
    for there in THE_USUAL_WAY[1:]:
        status = move(current=status, to=there)
    assert status is S.COMPLETED


def test_every_status_has_its_moves_and_is_reachable_from_the_first() -> None:
    assert set(MOVES) == set(S) == reachable_from(S.GATHERING_REQUIREMENTS)


def test_the_groups_divide_all_statuses() -> None:
    assert sorted([*WORKING, *INTERRUPTIONS, *FINAL]) == sorted(S)


@pytest.mark.parametrize("status", sorted(FINAL))
def test_what_is_final_stays_except_for_a_refinement_of_a_completed_project(status: ProjectStatus) -> None:
    assert MOVES[status] == ({S.IMPLEMENTING} if status is S.COMPLETED else set())


@pytest.mark.parametrize("working", sorted(WORKING))
@pytest.mark.parametrize("interruption", sorted(INTERRUPTIONS))
def test_any_work_can_be_interrupted_and_taken_up_where_it_was(
    working: ProjectStatus,
    interruption: ProjectStatus,
) -> None:
    assert move(current=move(current=working, to=interruption), to=working) is working


@pytest.mark.parametrize("status", sorted(WORKING | INTERRUPTIONS))
def test_everything_unfinished_can_be_cancelled_or_fail_and_can_still_complete(status: ProjectStatus) -> None:
    assert {S.CANCELLED, S.FAILED} <= MOVES[status]
    assert S.COMPLETED in reachable_from(status)


@pytest.mark.parametrize("status", sorted(WORKING | INTERRUPTIONS))
def test_a_delivered_project_can_go_back_to_completed_from_anywhere_and_is_never_cancelled(
    status: ProjectStatus,
) -> None:
    assert move(current=status, to=S.COMPLETED, delivered=True) is S.COMPLETED
    for end in (S.CANCELLED, S.FAILED):
        with pytest.raises(IllegalMove):
            move(current=status, to=end, delivered=True)
        with pytest.raises(IllegalMove):
            move(current=end, to=S.COMPLETED, delivered=True)


@pytest.mark.parametrize("status", sorted(S))
def test_staying_is_not_a_move(status: ProjectStatus) -> None:
    assert move(current=status, to=status) is status


@pytest.mark.parametrize(
    ("current", "to"),
    [
        (S.PLANNING, S.IMPLEMENTING),  # nobody has approved
        (S.IMPLEMENTING, S.VERIFICATION_COMPLETE),  # nothing was verified
        (S.IMPLEMENTING, S.COMPLETED),
        (S.PAUSED, S.COMPLETED),
        (S.CANCELLED, S.IMPLEMENTING),
        (S.FAILED, S.PLANNING),
        (S.COMPLETED, S.PAUSED),
    ],
)
def test_other_moves_are_refused_in_words(current: ProjectStatus, to: ProjectStatus) -> None:
    with pytest.raises(IllegalMove, match=r"cannot become") as refusal:
        move(current=current, to=to)
    assert (refusal.value.current, refusal.value.to) == (current, to)
    assert "_" not in refusal.value.message
